// Icons as paths of a 24 x 24 grid, drawn in the colour of the text around them.

import { svg } from "./dom.js";

const PATHS = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z",
  models: "M12 3 4 7.5v9L12 21l8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  keys: "M14.5 9.5m-5 0a5 5 0 1 0 10 0 5 5 0 1 0-10 0M10.8 13 4 19.8M6.5 17.3l2.2 2.2M15 9h.01",
  usage: "M4 20V4M4 20h16M8 16v-4M12 16V8M16 16v-6M20 16v-9",
  routes: "M6 4m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0M18 20m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0M8 4h6.5a3.5 3.5 0 0 1 0 8h-5a4 4 0 0 0 0 8H16",
  chat: "M5 5h14a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-7l-5 4v-4H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM8 9h8M8 12h5",
  settings: "M4 7h9M17 7h3M15 7m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0M4 17h3M11 17h9M9 17m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0",
  refresh: "M20 11a8 8 0 0 0-14-4.5L4 8.5M4 4v4.5h4.5M4 13a8 8 0 0 0 14 4.5l2-2M20 20v-4.5h-4.5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warn: "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17.2v.1",
  stop: "M12 12m-9 0a9 9 0 1 0 18 0 9 9 0 1 0-18 0M9 9l6 6M15 9l-6 6",
  half: "M12 12m-9 0a9 9 0 1 0 18 0 9 9 0 1 0-18 0M12 7.5V12l3 2",
  info: "M12 12m-9 0a9 9 0 1 0 18 0 9 9 0 1 0-18 0M12 11v5.5M12 7.7v.1",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  sun: "M12 12m-4 0a4 4 0 1 0 8 0 4 4 0 1 0-8 0M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  logout: "M14 5H6v14h8M10 12h10M17 9l3 3-3 3",
  send: "M5 12h13M12.5 6l6 6-6 6",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  open: "M12 4v9M7.5 6.5a7.5 7.5 0 1 0 9 0",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  search: "M11 11m-6.5 0a6.5 6.5 0 1 0 13 0 6.5 6.5 0 1 0-13 0M16 16l4.5 4.5",
  pause: "M8 5v14M16 5v14",
};

/** An icon. It is decoration: what it means is said in words beside it. */
export function icon(name, { size = 18 } = {}) {
  const attributes = { viewBox: "0 0 24 24", width: size, height: size, class: "icon", "aria-hidden": "true", focusable: "false" };
  return svg("svg", attributes, svg("path", { d: PATHS[name] ?? PATHS.info }));
}

/** The mark of PLLM: one way in, three ways out. */
export function mark(size = 28) {
  const attributes = { viewBox: "0 0 32 32", width: size, height: size, class: "mark", "aria-hidden": "true", focusable: "false" };
  return svg("svg", attributes, svg("rect", { width: 32, height: 32, rx: 8 }), svg("path", { d: "M7 16h6l9-8M13 16h12M13 16l9 8" }));
}
