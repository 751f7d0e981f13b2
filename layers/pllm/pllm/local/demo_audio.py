"""The demo upstream's audio: speech that is a hum as long as its text, and transcripts that describe the file."""

import asyncio
import base64
import io
import json
import re
import wave
from dataclasses import dataclass
from math import pi, sin
from typing import Any

from aiohttp import web

from pllm.local.demo_media import fields, refuse, send_events

_RATE_HZ = 8000
_HUM_HZ = 220
_SECONDS_A_CHARACTER = 0.02
_LONGEST_S = 4.0
_PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class DemoAudio:
    """`label` opens every transcript. `delay_s`: the pause between two pieces of speech."""

    label: str
    delay_s: float = 0.0

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/audio/speech", self.speech)
        app.router.add_post("/v1/audio/transcriptions", self.transcription)
        app.router.add_post("/v1/audio/translations", self.transcription)

    async def speech(self, request: web.Request) -> web.StreamResponse:
        """WAV, or its bare samples as PCM: there is no encoder here for anything else."""
        body = await request.json()
        text = body.get("input")
        if not isinstance(text, str) or not text:
            return refuse("'input' must be the text to speak.", "input")
        wanted = body.get("response_format") or "wav"
        if wanted not in ("wav", "pcm"):
            return refuse(
                f"The demo upstream speaks wav and pcm, not {wanted}: it has no model and no encoder.", "response_format"
            )
        audio = hum(text) if wanted == "wav" else samples(text)
        pieces = [audio[start : start + _PIECE_BYTES] for start in range(0, len(audio), _PIECE_BYTES)]
        if body.get("stream_format") == "sse":
            tokens = {"input_tokens": len(text) // 4 + 1, "output_tokens": len(pieces)}
            usage = {**tokens, "total_tokens": sum(tokens.values())}
            deltas = [{"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()} for piece in pieces]
            return await send_events(request, [*deltas, {"type": "speech.audio.done", "usage": usage}])
        response = web.StreamResponse(headers={"content-type": f"audio/{wanted}"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(self.delay_s)
        return response

    async def transcription(self, request: web.Request) -> web.StreamResponse:
        form = await fields(request)
        file = form.get("file")
        if not isinstance(file, web.FileField):
            return refuse("'file' must be the recording.", "file")
        content = file.file.read()
        seconds = length_s(content)
        text = f"{self.label} You sent {file.filename}: {len(content)} bytes, {seconds:g} s."
        if str(form.get("stream")).lower() == "true":
            return await send_events(request, _events(text, seconds))
        return _shown(str(form.get("response_format") or "json"), text, seconds, request.path.rpartition("/")[2])


def samples(text: str) -> bytes:
    """A hum of 16-bit samples, as long as the text would take."""
    count = int(_RATE_HZ * min(len(text) * _SECONDS_A_CHARACTER, _LONGEST_S))
    heights = (int(6000 * sin(2 * pi * _HUM_HZ * number / _RATE_HZ)) for number in range(count))
    return b"".join(height.to_bytes(2, "little", signed=True) for height in heights)


def hum(text: str) -> bytes:
    """`samples` as a WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(samples(text))
    return out.getvalue()


def length_s(content: bytes) -> float:
    """The length of a WAV file; 0 for what is not one."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            return float(file.getnframes() / file.getframerate())
    except (wave.Error, EOFError):
        return 0.0


def _shown(wanted: str, text: str, seconds: float, task: str) -> web.Response:
    span = (_clock(0.0), _clock(seconds))
    match wanted:
        case "text":
            return web.Response(text=text + "\n")
        case "srt":
            return web.Response(text=f"1\n{span[0]} --> {span[1]}\n{text}\n\n".replace(".", ",", 2))
        case "vtt":
            return web.Response(text=f"WEBVTT\n\n{span[0]} --> {span[1]}\n{text}\n\n")
        case "verbose_json":
            segment = {"id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text, "tokens": [], "temperature": 0.0}
            scores = {"avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}
            head = {"task": "translate" if task == "translations" else "transcribe", "language": "english"}
            return web.json_response(head | {"duration": seconds, "text": text, "segments": [segment | scores]})
        case "json":
            return web.json_response({"text": text, "usage": {"type": "duration", "seconds": seconds}})
        case _:
            return refuse(f"The demo upstream has json, text, srt, vtt and verbose_json, not {wanted}.", "response_format")


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{int(seconds * 1000) % 1000:03}"


def _events(text: str, seconds: float) -> list[dict[str, Any]]:
    tokens = {"input_tokens": int(seconds * 10), "output_tokens": len(json.dumps(text)) // 4}
    usage = {"type": "tokens", **tokens, "total_tokens": sum(tokens.values())}
    words = re.findall(r"\s*\S+", text)
    deltas: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": word} for word in words]
    return [*deltas, {"type": "transcript.text.done", "text": text, "usage": usage}]
