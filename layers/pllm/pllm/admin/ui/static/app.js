// The admin page: who is here, which page is open, and the frame around it.
//
// A page is a module pages/<name>.js with a line in PAGES below. It exports
//   title                            what the navigation and the document call it
//   async function render(root, context)   fills the empty element `root`; what it throws is shown with "Try again"
// and gets as `context`
//   api        api.js: get, all, post, patch, delete(path, body); ends with the page: after it is left, calls throw AbortError
//   who        { id, name, role, team }: controls that change something are for who.role === "admin" alone
//   navigate   navigate("keys"), navigate("keys/key_1"): opens a page; what follows the name is `context.rest`
//   rest       ["key_1"], decoded
//   onLeave    onLeave(fn): called once when the page is left; timers stop there
//   announce   announce(text): read out by screen readers
// Components: components.js (and dialogs.js, forms.js through it), charts.js, format.js, live.js (refreshing). Nodes: dom.js.
// No inline style (the content security policy forbids the attribute), no innerHTML, no storage: the key is in memory only.

import { Api } from "./api.js";
import { empty, failure, skeleton } from "./components.js";
import { h, replace } from "./dom.js";
import { login } from "./login.js";
import { frame } from "./shell.js";

const PAGES = [
  { name: "overview", title: "Overview" },
  { name: "models", title: "Models" },
  { name: "keys", title: "Keys" },
  { name: "usage", title: "Usage" },
  { name: "routes", title: "Routes" },
  { name: "chat", title: "Chat" },
  { name: "settings", title: "Settings" },
];

const app = document.getElementById("app");
let session = null;
let leavePage = () => {};

function enter(key, who) {
  session = { who, api: new Api(key, (message) => leave(`You were logged out: ${message}`)) };
  session.frame = frame({ pages: PAGES, who, leave: () => leave() });
  app.replaceChildren(session.frame.node);
  open();
}

function leave(message = "") {
  if (!session) return;
  leavePage();
  leavePage = () => {};
  session = null;
  for (const box of document.querySelectorAll("dialog")) box.close();
  replace(document.getElementById("toasts"));
  document.title = "PLLM";
  login(app, { message, enter });
}

function navigate(where) {
  const wanted = `#/${where.split("/").map(encodeURIComponent).join("/")}`;
  if (location.hash === wanted) open();
  else location.hash = wanted;
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

function address() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return { name: name || PAGES[0].name, rest: rest.map(decoded) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Opens the page that the address names. A page that is slow to come does not overwrite the one that followed it. */
async function open() {
  if (!session) return;
  leavePage();
  const { name, rest } = address();
  const leaving = new AbortController();
  const cleanups = [];
  leavePage = () => {
    leaving.abort();
    for (const cleanup of cleanups.splice(0)) cleanup();
  };
  const { api, who } = session;
  const context = { api: api.until(leaving.signal), who, navigate, rest, announce, onLeave: (fn) => cleanups.push(fn) };
  session.frame.select(name);
  await show(session.frame.main, name, context, leaving.signal);
}

async function show(main, name, context, left) {
  const page = PAGES.find((one) => one.name === name);
  const root = h("div", { class: `page page-${name}` });
  replace(main, root);
  main.scrollTop = 0;
  if (!page) return replace(root, empty("There is no such page", "Choose one from the navigation."));
  document.title = `${page.title} · PLLM`;
  replace(root, skeleton(1), skeleton(4, { tall: true }));
  try {
    const module = await import(`./pages/${name}.js`);
    if (left.aborted) return;
    replace(root);
    await module.render(root, context);
    if (!left.aborted) context.announce(`${page.title} is open`);
  } catch (error) {
    if (left.aborted || error.name === "AbortError") return;
    replace(root, failure(error, () => navigate(name)));
  }
}

addEventListener("hashchange", open);
login(app, { enter });
import(`./pages/${PAGES[0].name}.js`).catch(() => {}); // while somebody looks for the key; what fails is told when it is opened
