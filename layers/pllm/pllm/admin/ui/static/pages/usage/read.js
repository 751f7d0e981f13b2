// Reading usage for the page and for files, and what people call what was used.

import { readNumbers } from "../../numbers.js";

/** The query string of /api/admin/usage for what is asked. */
export function query({ period, from, to, group, only }, more = {}) {
  const time = (ms) => Math.floor(ms / 1_000);
  return new URLSearchParams({ period, from: time(from), to: time(to), group_by: group, ...only, limit: 10_000, ...more });
}

/** -> { period, points: [{ at, ...sums }] for every period of the time, groups: [{ name, ...sums }] the dearest first, whole: sums } */
export async function readUsage(api, { group, ...asked }) {
  const { whole, points, groups } = await readNumbers(api, { ...asked, groupBy: group });
  const named = groups.map(({ [group]: name, ...sums }) => ({ name, ...sums }));
  return { period: asked.period, whole, points, groups: named.sort((one, other) => other.cost_usd - one.cost_usd || other.requests - one.requests) };
}

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
