"""A Converse provider made of data: answers, buffered and streamed, with the wire's own quirks. botocore judges it in
test_stream.py before it judges us."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from pllm.wire.eventstream import event

Json = dict[str, Any]
Frames = list[tuple[str, Json]]


def answer(blocks: Sequence[Json], stop: str = "end_turn", usage: Json | None = None, fields: Json | None = None) -> bytes:
    """A buffered Converse answer."""
    body: Json = {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop,
        "usage": usage or {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
        "metrics": {"latencyMs": 100},
    }
    if fields is not None:
        body["additionalModelResponseFields"] = fields
    return json.dumps(body).encode()


def stream(
    blocks: Sequence[Json], stop: str = "end_turn", usage: Json | None = None, fields: Json | None = None, pieces: int = 3
) -> Frames:
    """The events of the same answer streamed, texts and inputs in `pieces`."""
    events: Frames = [("messageStart", {"role": "assistant"})]
    for number, block in enumerate(blocks):
        start, deltas = _block(block, pieces)
        if start is not None:
            events.append(("contentBlockStart", {"contentBlockIndex": number, "start": start}))
        events += [("contentBlockDelta", {"contentBlockIndex": number, "delta": delta}) for delta in deltas]
        events.append(("contentBlockStop", {"contentBlockIndex": number}))
    ended: Json = {"stopReason": stop}
    if fields is not None:
        ended["additionalModelResponseFields"] = {"delta": fields}
    events.append(("messageStop", ended))
    counted = usage or {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
    events.append(("metadata", {"usage": counted, "metrics": {"latencyMs": 100}}))
    return events


def framed(events: Frames) -> list[bytes]:
    """One frame an event, padded with "p" as Bedrock does to hide the lengths of tokens."""
    return [event(name, json.dumps({**payload, "p": "abcdef"}).encode()) for name, payload in events]


def _block(block: Json, pieces: int) -> tuple[Json | None, list[Json]]:
    match block:
        case {"text": str(text)}:
            return None, [{"text": piece} for piece in _cut(text, pieces)]
        case {"toolUse": {"input": value, **head}}:
            # The recorded streams of Claude begin every input with an empty fragment.
            texts = ["", *(_cut(json.dumps(value, separators=(",", ":"), ensure_ascii=False), pieces) if value else [])]
            return {"toolUse": head}, [{"toolUse": {"input": piece}} for piece in texts]
        case {"toolResult": {"content": content, **head}}:
            return {"toolResult": head}, [{"toolResult": [item]} for item in content]
        case {"reasoningContent": {"reasoningText": dict(said)}}:
            deltas: list[Json] = [{"reasoningContent": {"text": piece}} for piece in _cut(said["text"], pieces)]
            if "signature" in said:
                deltas.append({"reasoningContent": {"signature": said["signature"]}})
            return None, deltas
        case {"reasoningContent": dict(redacted)}:
            return None, [{"reasoningContent": redacted}]
        case {"citationsContent": {"content": content, "citations": citations}}:
            return None, [*({"citation": c} for c in citations), *({"text": c["text"]} for c in content)]
    raise AssertionError(f"no stream for {block}")


def _cut(text: str, pieces: int) -> list[str]:
    size = max(len(text) // pieces, 1)
    return [text[at : at + size] for at in range(0, len(text), size)]


# --- Generated answers ---

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
inputs = st.dictionaries(words, json_values, max_size=3)
ids = st.text("abcXYZ019_-", min_size=1, max_size=12).map(lambda text: f"tooluse_{text}")
names = st.sampled_from(["get_weather", "search", "final_answer"])

citations = st.fixed_dictionaries(
    {
        "title": words,
        "sourceContent": st.lists(st.fixed_dictionaries({"text": words}), max_size=2),
        "location": st.one_of(
            st.fixed_dictionaries({"web": st.fixed_dictionaries({"url": words})}),
            st.fixed_dictionaries({"documentChar": st.fixed_dictionaries({"documentIndex": st.just(0), "start": st.just(1)})}),
        ),
    }
)
blobs = st.one_of(st.text("abc+/=019", min_size=1, max_size=20).map(str.encode), st.binary(min_size=1, max_size=20)).map(
    lambda data: base64.b64encode(data).decode()
)


def _server_tool(call_id: str, snippet: str, output: str) -> list[Json]:
    call = {"toolUseId": call_id, "name": "nova_code_interpreter", "type": "server_tool_use", "input": {"snippet": snippet}}
    result = {"toolUseId": call_id, "type": "x_result", "status": "success", "content": [{"json": {"stdOut": output}}]}
    return [{"toolUse": call}, {"toolResult": result}]


one_block = st.one_of(
    words.map(lambda text: [{"text": text}]),
    st.just([{"text": ""}]),
    st.builds(lambda i, n, v: [{"toolUse": {"toolUseId": i, "name": n, "input": v}}], ids, names, inputs),
    st.builds(lambda t: [{"reasoningContent": {"reasoningText": {"text": t}}}], words),
    st.builds(lambda t, s: [{"reasoningContent": {"reasoningText": {"text": t, "signature": s}}}], words, words),
    blobs.map(lambda blob: [{"reasoningContent": {"redactedContent": blob}}]),
    st.builds(
        lambda t, c: [{"citationsContent": {"content": [{"text": t}], "citations": c}}],
        words,
        st.lists(citations, min_size=1, max_size=2),
    ),
    st.builds(_server_tool, ids, words, words),
)
blocks = st.lists(one_block, max_size=5).map(lambda groups: [block for group in groups for block in group])
stops = st.sampled_from(["end_turn", "tool_use", "max_tokens", "stop_sequence", "guardrail_intervened", "content_filtered"])
counts = st.integers(0, 10**6)


def _usage(read: int, written: int, long_lived: int, spoken: int) -> Json:
    usage: Json = {"inputTokens": 7, "outputTokens": spoken, "totalTokens": 7 + spoken + read + written + long_lived}
    if read or written or long_lived:
        details = [{"ttl": "5m", "inputTokens": written}, {"ttl": "1h", "inputTokens": long_lived}]
        usage |= {"cacheReadInputTokens": read, "cacheWriteInputTokens": written + long_lived, "cacheDetails": details}
    return usage


usages = st.builds(_usage, counts, counts, counts, counts)
