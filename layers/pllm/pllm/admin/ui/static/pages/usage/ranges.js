// Which time is looked at: a span { period, from, to }, the times in epoch milliseconds, `to` exclusive.

import { field } from "../../components.js";
import { h } from "../../dom.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Beyond it, hours are too many to be told apart in a chart. */
const MOST_HOURS = 8 * 24;

const back = (period, length) => (now) => ({ period, from: now - length, to: now });

export const RANGES = [
  { id: "hour", label: "Hour", span: back("minute", HOUR - 60_000) },
  { id: "day", label: "Day", span: back("hour", DAY - HOUR) },
  { id: "week", label: "7 days", span: back("hour", 7 * DAY - HOUR) },
  { id: "month", label: "Month", span: monthSpan },
];

/** Since the first of this month. */
function monthSpan(now) {
  const today = new Date(now);
  return { period: "day", from: Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), 1), to: now };
}

/** Two days to choose: { node, span() }; span() is null where they do not make one, and says why. */
export function customRange(changed) {
  const today = new Date().toISOString().slice(0, 10);
  const from = field({ label: "From", name: "first-day", type: "date", value: new Date(Date.now() - 29 * DAY).toISOString().slice(0, 10), max: today });
  const to = field({ label: "To, that day included", name: "last-day", type: "date", value: today, max: today });
  for (const one of [from, to]) one.input.addEventListener("change", changed);
  function span() {
    const [first, last] = [Date.parse(from.value), Date.parse(to.value)];
    if (Number.isNaN(first)) return from.problem("Choose a day.");
    if (Number.isNaN(last) || last < first) return to.problem("Choose a day that is not before the first.");
    for (const one of [from, to]) one.problem("");
    const hours = (last + DAY - first) / HOUR;
    return { period: hours <= MOST_HOURS ? "hour" : "day", from: first, to: last + DAY };
  }
  return { node: h("div", { class: "fields-2 custom-range", hidden: true }, from.node, to.node), span: () => span() ?? null };
}
