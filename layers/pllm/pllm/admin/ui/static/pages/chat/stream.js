// One question to the gateway, as any client asks it, and what came of it. A stream counts as finished only if it says so:
// with a finish reason and [DONE]. Everything else is broken, and is shown to be.

const FACTS = ["model", "provider", "deployment", "attempts", "overhead-ms", "cost-usd", "cache", "dropped", "emulated", "state"];

/** The data of each server-sent event. An event that the end cuts off is none. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split(/\r\n\r\n|\n\n|\r\r/);
      text = blocks.pop();
      for (const block of blocks) {
        const data = block.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:"));
        if (data.length > 0) yield data.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * Asks, and calls onText(text, thinking) for each piece. -> { state: "finished" | "stopped" | "broken", why, finish, usage,
 * facts, firstMs, totalMs }; `facts` are the x-pllm-* headers, `firstMs` is null where nothing was streamed. Throws ApiError
 * where the gateway refused.
 */
export async function ask(api, body, { signal, onStart, onText }) {
  const began = performance.now();
  const told = { state: "broken", why: "", finish: null, usage: null, facts: {}, firstMs: null, totalMs: null };
  const heard = (text, thinking) => {
    told.firstMs ??= performance.now() - began;
    onText(text, thinking);
  };
  try {
    const accept = body.stream ? "text/event-stream" : "application/json";
    const response = await api.request("POST", "/v1/chat/completions", body, { signal, accept });
    told.facts = factsOf(response.headers);
    onStart(told.facts);
    if (body.stream) await streamed(response.body, told, heard);
    else whole(await response.json(), told, onText);
  } catch (error) {
    if (error.name === "AbortError") told.state = "stopped";
    else if (error.name === "ApiError") throw error;
    else told.why = error.name === "SyntaxError" ? "Something in the answer is not JSON." : "The connection broke before the answer was complete.";
  }
  told.totalMs = performance.now() - began;
  return told;
}

/** Reads to the last byte, also behind the end marker or an error: who goes away before looks like a client that left. */
async function streamed(body, told, heard) {
  let done = false;
  for await (const data of events(body)) {
    done ||= data === "[DONE]";
    if (done || told.why) continue;
    const chunk = JSON.parse(data);
    if (chunk.error) {
      told.why = chunk.error.message ?? "The provider's stream broke.";
      continue;
    }
    told.usage = chunk.usage ?? told.usage;
    const choice = chunk.choices?.[0];
    const delta = choice?.delta ?? {};
    told.finish = choice?.finish_reason ?? told.finish;
    const thinking = delta.reasoning_content ?? delta.reasoning;
    if (thinking) heard(thinking, true);
    if (delta.content || delta.refusal) heard(delta.content || delta.refusal, false);
  }
  if (told.why) return;
  if (done && told.finish) told.state = "finished";
  else told.why = told.finish ? "The stream ended without its end marker." : "The stream ended before the answer was complete.";
}

function whole(answer, told, heard) {
  const choice = answer.choices?.[0];
  const message = choice?.message ?? {};
  const thinking = message.reasoning_content ?? message.reasoning;
  told.usage = answer.usage ?? null;
  told.finish = choice?.finish_reason ?? null;
  if (thinking) heard(thinking, true);
  heard(message.content ?? message.refusal ?? "", false);
  if (told.finish) told.state = "finished";
  else told.why = "The answer has no finish reason.";
}

function factsOf(headers) {
  const found = { request: headers.get("x-request-id") };
  for (const name of FACTS) found[name] = decoded(headers.get(`x-pllm-${name}`));
  return found;
}

/** What is not printable ASCII is percent-encoded in these headers, and so is the percent sign. */
function decoded(value) {
  try {
    return value && decodeURIComponent(value);
  } catch {
    return value; // of a gateway that encodes nothing yet
  }
}
