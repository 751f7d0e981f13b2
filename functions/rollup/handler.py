"""By the clock: usage by the hour and by the day, and health probes. A plain Lambda handler, without the streaming runtime."""

from pllm.bootstrap import rollup

handler = rollup()
