// The page's modules that need no browser, asked by tests/admin/test_ui_logic.py: folder of the modules in argv, questions on
// stdin, answers on stdout.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);
const { ask } = await import(new URL("pages/chat/stream.js", folder));
const { ApiError, apiRoot } = await import(new URL("api.js", folder));
const format = await import(new URL("format.js", folder));
const { limitsOf } = await import(new URL("pages/keys/limits.js", folder));
const asked = JSON.parse(readFileSync(0, "utf8"));

/** The bytes in pieces of a size; at the end the stream closes, or throws. */
function body(text, size, ends) {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.length) {
        controller.enqueue(bytes.slice(at, at + size));
        at += size;
      } else if (ends === "closed") controller.close();
      else controller.error(new DOMException("…", ends));
    },
  });
}

async function chat({ text, size, ends = "closed", stream = true, refusal = null, names = {} }) {
  const headers = { "x-pllm-deployment": "d", "x-request-id": "r", ...names };
  const api = {
    async request(method, path) {
      if (refusal) throw new ApiError(refusal, "No.", "model", "not_found");
      return new Response(stream ? body(text, size, ends) : text, { headers: { ...headers, path: `${method} ${path}` } });
    },
  };
  const heard = { text: "", thinking: "", started: null };
  try {
    const told = await ask(api, { stream }, {
      signal: new AbortController().signal,
      onStart: (facts) => (heard.started = facts.deployment),
      onText: (piece, isThought) => (heard[isThought ? "thinking" : "text"] += piece),
    });
    return { ...heard, ...told };
  } catch (error) {
    return { ...heard, thrown: error.name, status: error.status };
  }
}

console.log(JSON.stringify({
  chats: await Promise.all(asked.chats.map(chat)),
  roots: asked.roots.map((path) => apiRoot(path)),
  formats: asked.formats.map(([name, ...values]) => format[name](...values)),
  limits: asked.limits.map(([record, scope]) => limitsOf(record, scope)),
}));
