// One question to the gateway, as any client asks it, and what came of it. A stream counts as finished only if it says so:
// with a finish reason and [DONE]. Everything else is broken, and is shown to be.

const FACTS = ["model", "provider", "deployment", "attempts", "overhead-ms", "cost-usd", "abandoned-cost-usd", "estimated", "cache", "dropped", "emulated", "state"];

/** { data, comments } of each block of server-sent events, `data` null where it has none. A block that the end cuts off is none. */
export async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const found = text.split(/\r\n\r\n|\n\n|\r\r/);
      text = found.pop();
      for (const block of found) {
        const lines = block.split(/\r\n|\n|\r/);
        const values = (start) => lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length).replace(/^ /, ""));
        const data = values("data:");
        yield { data: data.length > 0 ? data.join("\n") : null, comments: values(":") };
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * Asks, and calls onText(text, thinking) for each piece. -> { state: "finished" | "stopped" | "broken", why, finish, usage,
 * facts, firstMs, totalMs }; `facts` are the x-pllm-* headers, and of a stream those that its end says in comments. `firstMs`
 * is null where nothing was streamed. Throws ApiError where the gateway refused.
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
    const response = await api.request("POST", "/v1/chat/completions", body, { signal, accept, headers: { "x-pllm-include": "cost" } });
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
  for await (const { data, comments } of blocks(body)) {
    for (const comment of comments) note(comment, told.facts);
    done ||= data === "[DONE]";
    if (data === null || done || told.why) continue;
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

/** What headers come too early for: "x-pllm-cost-usd: 0.000123". */
function note(comment, facts) {
  const [, name, value] = /^x-pllm-([a-z-]+): (.*)$/.exec(comment) ?? [];
  if (FACTS.includes(name)) facts[name] = value;
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
