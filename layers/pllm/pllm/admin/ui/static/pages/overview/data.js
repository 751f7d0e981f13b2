// The overview's numbers: usage of a time, by its minutes, hours or days.

import { clock, dateTime, day } from "../../format.js";

const MINUTE_MS = 60_000;
const MOST_PAGES = 5;

/** What can be looked at. `label` follows "the last". */
export const RANGES = [
  { id: "hour", label: "60 minutes", period: "minute", step: MINUTE_MS, time: (at) => clock(at), axis: (at) => clock(at) },
  { id: "day", label: "24 hours", period: "hour", step: 60 * MINUTE_MS, time: dateTime, axis: (at) => clock(at) },
  { id: "month", label: "30 days", period: "day", step: 1440 * MINUTE_MS, time: (at) => `${day(at)} (UTC)`, axis: day },
];

/**
 * { points, groups, sums }: `points` for timeSeries(), one for each period, those without requests too; `groups`: rows by model
 * and deployment; `sums` of the whole time.
 */
export async function loadUsage(api, range) {
  const rows = [];
  let page = { next_page: "" };
  let first = null;
  for (let pages = 0; page.next_page !== null && pages < MOST_PAGES; pages += 1) {
    const more = page.next_page ? `&from=${first.from}&to=${first.to}&page=${encodeURIComponent(page.next_page)}` : "";
    page = await api.get(`/api/admin/usage?period=${range.period}&group_by=model,deployment&limit=10000${more}`);
    first ??= page;
    rows.push(...page.data);
  }
  return { points: points(rows, range, Date.parse(first.from), Date.parse(first.to)), groups: rows, sums: summed(rows) };
}

/** Loads the sums of hours and days once a minute and no oftener: they read far more of the table than those of minutes. */
export function remembered(load) {
  const known = new Map();
  return async function usage(range) {
    const found = known.get(range.id);
    if (range.period !== "minute" && found && Date.now() - found.at < MINUTE_MS) return found.usage;
    const loaded = await load(range);
    known.set(range.id, { usage: loaded, at: Date.now() });
    return loaded;
  };
}

/** The points with percentiles where there are some: of the last minutes, if the points are minutes. */
export function withSpeed(points, range, speed) {
  if (range.period !== "minute") return points;
  const known = new Map(speed.data.map((one) => [Date.parse(one.start), { p50: one.p50_latency_ms, p95: one.p95_latency_ms, first: one.ttft_ms }]));
  return points.map((point) => ({ ...point, values: { ...point.values, ...known.get(point.at) } }));
}

function points(rows, range, from, to) {
  const found = new Map();
  for (const row of rows) {
    const at = Date.parse(row.start);
    found.set(at, [...(found.get(at) ?? []), row]);
  }
  const instants = Array.from({ length: Math.round((to - from) / range.step) }, (_, index) => from + index * range.step);
  return instants.map((at) => {
    const sums = summed(found.get(at) ?? []);
    return { at, values: { ...sums, answered: sums.requests - sums.errors } };
  });
}

/** Latency is the mean over all requests, null where there are none. */
function summed(rows) {
  const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
  const requests = sum("requests");
  const spent = rows.reduce((total, row) => total + row.average_latency_ms * row.requests, 0);
  return {
    requests,
    errors: sum("errors"),
    prompt: sum("prompt_tokens"),
    completion: sum("completion_tokens"),
    cost: sum("cost_usd"),
    unpriced: sum("unpriced_requests"),
    latency: requests ? spent / requests : null,
  };
}
