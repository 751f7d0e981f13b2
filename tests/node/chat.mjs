// Drives the official openai SDK as its documentation does and prints what it saw as one JSON object.
// node chat.mjs <path of the openai package> <base URL> <key>
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [sdk, baseURL, apiKey] = process.argv.slice(2);
const { default: OpenAI } = await import(pathToFileURL(join(sdk, "index.mjs")));
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "hello" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const seen = {};

const { data, response } = await client.chat.completions.create({ model: "local", messages }).withResponse();
seen.content = data.choices[0].message.content;
seen.deployment = response.headers.get("x-pllm-deployment");

seen.streamed = "";
seen.chunks = 0;
const options = { include_usage: true };
for await (const chunk of await client.chat.completions.create({ model: "local", messages, stream: true, stream_options: options })) {
  seen.chunks += 1;
  seen.streamed += chunk.choices[0]?.delta?.content ?? "";
  seen.usage = chunk.usage?.total_tokens;
}

const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const called = await client.chat.completions.stream({ model: "local", messages, tools }).finalChatCompletion();
seen.tools = called.choices[0].message.tool_calls.map((call) => call.function.name);

const format = { type: "json_schema", json_schema: { name: "place", strict: true, schema: parameters } };
const structured = await client.chat.completions.create({ model: "local", messages, response_format: format });
seen.parsed = JSON.parse(structured.choices[0].message.content);

try {
  await client.chat.completions.create({ model: "lokal", messages });
} catch (error) {
  seen.error = { status: error.status, code: error.code };
}
console.log(JSON.stringify(seen));
