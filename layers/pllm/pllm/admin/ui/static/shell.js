// What is around every page: brand, navigation, who is here, the colours, the way out.

import { button } from "./components.js";
import { h } from "./dom.js";
import { icon, mark } from "./icons.js";

const THEMES = { system: "light", light: "dark", dark: "system" };
const THEME_ICONS = { system: "system", light: "sun", dark: "moon" };
let theme = "system";

/** The frame: { node, main, select(name) }. */
export function frame({ pages, who, leave }) {
  const links = pages.map((page) => navigationLink(page));
  const main = h("main", { id: "main", class: "main", tabindex: -1 });
  const name = who.name || who.id;
  const person = h("div", { class: "person" }, h("span", { class: "person-name", title: name }, name), h("span", { class: "person-role" }, who.role === "admin" ? "administrator" : who.role));
  const tools = h("div", { class: "tools" }, themeSwitch(), button("Log out", { icon: "logout", iconOnly: true, tone: "quiet", onclick: leave }));
  const navigation = h("nav", { class: "nav", "aria-label": "Pages" }, h("ul", null, links.map((link) => h("li", null, link))));
  const brand = h("a", { href: "#/overview", class: "brand", "aria-label": "PLLM, overview" }, mark(), h("span", null, "PLLM"));
  const skip = h("a", { href: "#main", class: "skip", onclick: skipped }, "Skip to content");
  function skipped(event) {
    event.preventDefault();
    main.focus();
  }
  function select(wanted) {
    pages.forEach((page, place) => {
      if (page.name === wanted) links[place].setAttribute("aria-current", "page");
      else links[place].removeAttribute("aria-current");
    });
  }
  const node = h("div", { class: "frame" }, skip, h("header", { class: "side" }, brand, navigation, h("div", { class: "side-foot" }, person, tools)), main);
  return { node, main, select };
}

function navigationLink(page) {
  return h("a", { href: `#/${page.name}`, class: "nav-link" }, icon(page.name), h("span", null, page.title));
}

/** System, light, dark: kept while the page is open. */
export function themeSwitch() {
  const node = h("button", { type: "button", class: "button button-icon button-quiet", onclick: turn });
  function show() {
    node.setAttribute("aria-label", `Colours: ${theme}. Change to ${THEMES[theme]}`);
    node.title = `Colours: ${theme}`;
    node.replaceChildren(icon(THEME_ICONS[theme]));
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme);
  }
  function turn() {
    theme = THEMES[theme];
    show();
  }
  show();
  return node;
}
