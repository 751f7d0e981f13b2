"""What `pllm local` says when it is ready."""


def banner(url: str, key: str, model: str, who_answers: str, key_is_ours: bool) -> str:
    """Address, key, and two ways to try it, ready to be pasted."""
    note = "   (fixed for laptops; set PLLM_MASTER_KEY for another)" if key_is_ours else "   (from PLLM_MASTER_KEY)"
    shown = key if key_is_ours else "$PLLM_MASTER_KEY"
    quoted = f'"{key}"' if key_is_ours else 'os.environ["PLLM_MASTER_KEY"]'
    lines = [
        "",
        f"PLLM is listening on {url}",
        f"  key:      {shown}{note}",
        f"  answers:  {who_answers}",
        f"  page:     {url}/ui",
        "",
        f"  curl -N {url}/v1/chat/completions -H 'Authorization: Bearer {shown}' -H 'content-type: application/json' \\",
        f'    -d \'{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}\'',
        "",
        *(["  import os"] if not key_is_ours else []),
        "  from openai import OpenAI",
        f'  client = OpenAI(base_url="{url}/v1", api_key={quoted})',
        f'  for chunk in client.chat.completions.create(model="{model}", stream=True,',
        '          messages=[{"role": "user", "content": "Hello!"}]):',
        '      print(chunk.choices[0].delta.content or "", end="", flush=True)',
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines).replace(f"Bearer {shown}'", f"Bearer {shown}'" if key_is_ours else f'Bearer \'"{shown}"')
