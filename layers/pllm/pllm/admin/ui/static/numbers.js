// Numbers over a time, from /api/admin/series: what was asked, what it cost and how long it took.

import { clock, dateTime, day, utcDay } from "./format.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const STEP_MS = { minute: MINUTE_MS, hour: HOUR_MS, day: 24 * HOUR_MS };

/** Times that end now. `label` follows "the last"; `periods` is how many there are of `period`. */
export const RANGES = [
  { id: "hour", label: "60 minutes", period: "minute", periods: 60, time: (at) => clock(at), axis: (at) => clock(at) },
  { id: "day", label: "24 hours", period: "hour", periods: 24, time: dateTime, axis: (at) => clock(at) },
  { id: "week", label: "7 days", period: "hour", periods: 7 * 24, time: dateTime, axis: day },
  { id: "month", label: "30 days", period: "day", periods: 30, time: (at) => `${utcDay(at)} (UTC)`, axis: utcDay },
];

/** { period, from, to } of a range at this moment, in epoch milliseconds, the period that is going on included. */
export function spanOf({ period, periods }) {
  const now = Date.now();
  return { period, from: now - (periods - 1) * STEP_MS[period], to: now };
}

/**
 * { whole, points, groups }: sums and percentiles as the API names them, of all of the time, of each period (with `at`, epoch
 * milliseconds, those without requests too) and of each group (with its names). `only`: { key, team, model, deployment }.
 */
export async function readNumbers(api, { period, from, to, groupBy, only = {} }) {
  const time = (ms) => Math.floor(ms / 1_000);
  const found = await api.get(`/api/admin/series?${new URLSearchParams({ period, from: time(from), to: time(to), group_by: groupBy, ...only })}`);
  return {
    whole: found.whole,
    points: found.data.map((one) => ({ at: Date.parse(one.start), ...one })),
    groups: found.groups.map(({ group, ...sums }) => ({ ...group, ...sums })),
  };
}

/** load(range), for hours and days once a minute and no oftener: they read far more of the table than minutes. */
export function remembered(load) {
  const known = new Map();
  return async function numbers(range) {
    const found = known.get(range.id);
    if (range.period !== "minute" && found && Date.now() - found.at < MINUTE_MS) return found.loaded;
    const loaded = await load(range);
    known.set(range.id, { loaded, at: Date.now() });
    return loaded;
  };
}
