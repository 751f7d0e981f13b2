"""The control plane: /v1/admin, /api/admin, /metrics, /ui. The streaming runtime serves `handler`."""

from pllm.bootstrap import admin

handler = admin()
