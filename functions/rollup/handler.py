"""Once an hour: usage by the hour and by the day. A plain Lambda handler, started without the streaming runtime."""

from pllm.bootstrap import rollup

handler = rollup()
