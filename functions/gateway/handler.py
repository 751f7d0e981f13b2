"""The data plane: everything under /v1. The streaming runtime serves `handler`."""

from pllm.bootstrap import gateway

handler = gateway()
