// Reading usage: /api/admin/usage to its last page, summed over time and over groups.

import { STEP_MS } from "./ranges.js";

const SUMMED = ["requests", "errors", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "unpriced_requests"];

/** The query string of what is asked. */
export function query({ period, from, to, group, only }, more = {}) {
  const time = (ms) => Math.floor(ms / 1_000);
  return new URLSearchParams({ period, from: time(from), to: time(to), group_by: group, ...only, limit: 10_000, ...more });
}

/** -> { period, points: [{ at, ...sums }] for every period of the time, groups: [{ name, ...sums }] the dearest first, whole: sums } */
export async function readUsage(api, asked) {
  const lines = [];
  let next = null;
  let page;
  do {
    page = await api.get(`/api/admin/usage?${query(asked, next ? { page: next } : {})}`);
    lines.push(...page.data);
    next = page.next_page;
  } while (next);
  const times = new Map();
  for (let at = Date.parse(page.from); at < Date.parse(page.to); at += STEP_MS[asked.period]) times.set(at, nothing());
  const groups = new Map();
  const whole = nothing();
  for (const line of lines) {
    const name = line[asked.group];
    if (!groups.has(name)) groups.set(name, nothing());
    for (const sum of [times.get(Date.parse(line.start)), groups.get(name), whole]) if (sum) add(sum, line);
  }
  const points = [...times].map(([at, sum]) => ({ at, ...sum }));
  const named = [...groups].map(([name, sum]) => ({ name, ...sum }));
  return { period: asked.period, points, groups: named.sort((one, other) => other.cost_usd - one.cost_usd || other.requests - one.requests), whole };
}

function nothing() {
  return { ...Object.fromEntries(SUMMED.map((name) => [name, 0])), latency_ms: 0 };
}

function add(sum, line) {
  for (const name of SUMMED) sum[name] += line[name];
  sum.latency_ms += line.average_latency_ms * line.requests;
}

/** The mean over all requests, null where there was none. */
export const latency = (sum) => (sum.requests ? sum.latency_ms / sum.requests : null);

/** known(group, value): what people call it. A key that is gone keeps its id. */
export async function names(api) {
  const keys = new Map();
  try {
    for (const key of await api.all("/api/admin/keys?limit=1000")) keys.set(key.id, key.name);
  } catch (error) {
    if (error.name === "AbortError") throw error; // ids do for names
  }
  return (group, value) => (group === "key" && keys.has(value) ? keys.get(value) : value || `no ${group}`);
}
