"""docs/openapi-admin.json: `python -m pllm.admin.openapi > docs/openapi-admin.json`."""

import json
import sys

from pllm.admin.app import api


def document() -> str:
    """The OpenAPI description of every endpoint, as the file has it."""
    described = api().openapi()
    described["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "The master key, or a virtual key or token with a role."},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    described["security"] = [{"bearer": []}, {"x-api-key": []}]
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
