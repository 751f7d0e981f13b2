// Numbers and times as people read them. A missing value is a dash.

const DASH = "–";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

/** 12,345 */
export function number(value) {
  return missing(value) ? DASH : whole.format(value);
}

/** 12.3K */
export function compact(value) {
  return missing(value) ? DASH : Math.abs(value) < 10_000 ? whole.format(value) : short.format(value);
}

/** 12,345 tokens; 1.2M tokens */
export function tokens(value) {
  return missing(value) ? DASH : `${compact(value)} ${value === 1 ? "token" : "tokens"}`;
}

/** $1,234.56; small amounts with as many places as they need: $0.000042 */
export function usd(value) {
  if (missing(value)) return DASH;
  const size = Math.abs(value);
  const places = size === 0 || size >= 1 ? 2 : size >= 0.01 ? 4 : 6;
  return value.toLocaleString("en-US", { style: "currency", currency: "USD", minimumFractionDigits: places, maximumFractionDigits: places });
}

/** To the micro-dollar: $1,234.560000 */
export function usdWhole(value) {
  return missing(value) ? DASH : value.toLocaleString("en-US", { style: "currency", currency: "USD", minimumFractionDigits: 6 });
}

/** For axes: $0.005, $1.5, $12K */
export function usdShort(value) {
  const options = { style: "currency", currency: "USD", notation: "compact", minimumFractionDigits: 0, maximumSignificantDigits: 3 };
  return missing(value) ? DASH : value.toLocaleString("en-US", options);
}

/** 0.42 ms, 840 ms, 1.24 s, 2 min 5 s */
export function milliseconds(value) {
  if (missing(value)) return DASH;
  if (value < 9.995) return `${Number(value.toFixed(2))} ms`;
  if (value < 999.5) return `${Math.round(value)} ms`;
  if (value < 59_950) return `${(value / 1_000).toFixed(value < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(value / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** 0.1234 -> 12.3 % */
export function percent(share) {
  if (missing(share)) return DASH;
  const value = share * 100;
  return `${value === 0 || value >= 99.95 ? value.toFixed(0) : value < 0.1 ? "<0.1" : value.toFixed(1)}%`;
}

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** "3min ago", "in 5d". `at`: Date, RFC 3339 or epoch milliseconds. */
export function ago(at, now = Date.now()) {
  if (missing(at)) return DASH;
  const seconds = Math.round((new Date(at).getTime() - now) / 1_000);
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS[3];
  return Math.abs(seconds) < 2 ? "just now" : relative.format(Math.trunc(seconds / length), unit);
}

/** 14:05, or with seconds 14:05:09 */
export function clock(at, { seconds = false } = {}) {
  const parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(seconds ? { second: "2-digit" } : {}) };
  return missing(at) ? DASH : new Date(at).toLocaleTimeString("en-GB", parts);
}

/** 22 Nov */
export function day(at) {
  return missing(at) ? DASH : new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

/** 22 Nov, of a day that begins at midnight UTC: west of there it is the day before by the clock on the wall. */
export function utcDay(at) {
  return missing(at) ? DASH : new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

/** 22 Nov 2026, 14:05 */
export function dateTime(at) {
  if (missing(at)) return DASH;
  return `${new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${clock(at)}`;
}

/** "1 request", "2 requests" */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}
