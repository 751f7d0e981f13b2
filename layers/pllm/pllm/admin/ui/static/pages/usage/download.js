// Usage as a file. The credential goes with the request, so it is fetched and handed to the browser as a blob.

import { h } from "../../dom.js";
import { query } from "./read.js";

export async function download(api, asked) {
  const parts = [];
  let next = null;
  do {
    const more = { format: "csv", ...(next && { page: next }) };
    const response = await api.request("GET", `/api/admin/usage?${query(asked, more)}`, undefined, { accept: "text/csv" });
    const text = await response.text();
    parts.push(parts.length === 0 ? text : text.slice(text.indexOf("\n") + 1)); // one header
    next = response.headers.get("x-pllm-next-page");
  } while (next);
  const address = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
  const day = (ms) => new Date(ms).toISOString().slice(0, 10);
  const link = h("a", { href: address, download: `pllm-usage-by-${asked.group}-${day(asked.from)}-to-${day(asked.to - 1)}.csv` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
