// Refreshing a page: every few seconds while it is looked at, at once on demand.

import { button, badge } from "./components.js";
import { h, replace } from "./dom.js";
import { clock } from "./format.js";

const EVERY_MS = 10_000;

/**
 * live(context, load): calls `await load()` now and every ten seconds while the page is visible. -> { controls, reload, ready }:
 * `controls` to be put into the page's head; `reload()` loads anew, after what is on its way. What load()
 * throws the first time is thrown by `ready`; later it is told beside the button, and what is shown stays.
 */
export function live(context, load) {
  const state = h("span", { class: "live-state small muted" });
  const again = button("Refresh", { icon: "refresh", onclick: () => refresh(true) });
  let timer = 0;
  let running = null;
  let stopped = false;

  function schedule() {
    clearTimeout(timer);
    if (!stopped && document.visibilityState === "visible") timer = setTimeout(() => refresh(), EVERY_MS);
  }

  async function once() {
    again.classList.add("is-busy");
    try {
      await load();
      replace(state, `Updated ${clock(Date.now(), { seconds: true })}`);
    } finally {
      again.classList.remove("is-busy");
      running = null;
      schedule();
    }
  }

  async function refresh(asked = false) {
    try {
      await (running ??= once());
      if (asked) context.announce("Refreshed");
    } catch (error) {
      if (!stopped && error.name !== "AbortError") replace(state, badge("Not up to date", "warn"), h("span", { class: "visually-hidden" }, error.message));
    }
  }

  async function reload() {
    await running?.catch(() => {});
    await refresh();
  }

  function looked() {
    if (document.visibilityState === "visible") refresh();
    else clearTimeout(timer);
  }

  function stop() {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", looked);
  }

  document.addEventListener("visibilitychange", looked);
  context.onLeave(stop);
  running = once();
  const ready = running;
  ready.catch(stop);
  return { controls: h("div", { class: "live" }, state, again), reload, ready };
}
