"""`pllm local`: the deployed code path on a laptop."""
