// The board: what the API says, every few seconds, for one universe or one symbol.

const REFRESH_MS = 5000;
const PART = 200; // symbols a request

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const state = { universe: null, sort: "symbol", down: false, filter: "", segment: "", rows: [], timer: 0, asOf: "" };

// An element; text is never read as HTML.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.message), { code: body.error });
  return body;
}

async function hot(kind, symbols) {
  const parts = [];
  for (let at = 0; at < symbols.length; at += PART) {
    parts.push(ask(`/api/${kind}?symbols=${symbols.slice(at, at + PART).map(encodeURIComponent).join(",")}`));
  }
  return Object.assign({}, ...(await Promise.all(parts)));
}

// Words for numbers and moments

const price = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 }));
const signed = (value, digits = 2) => (value === null || value === undefined ? "–" : (value > 0 ? "+" : "") + value.toFixed(digits));
const moment = (text) => text.replace("T", " ").replace(/(\.\d+)?(Z|\+00:00)$/, "Z");
const tone = (signal) => (signal.includes("BUY") ? "buy" : signal.includes("SELL") ? "sell" : "hold");

function strengthBar(strength) {
  const share = Math.min(Math.abs(strength), 1) * 50;
  const place = strength < 0 ? `right:50%;width:${share}%` : `left:50%;width:${share}%`;
  const bar = h("i");
  bar.style.cssText = place;
  return h("span", { class: "bar", "aria-hidden": "true" }, bar);
}

function signalCell(signal) {
  if (!signal) return h("td", { class: "none" }, "withheld or none");
  return h("td", {},
    h("span", { class: `class cell ${tone(signal.signal)}` }, signal.signal.replace("_", " ")), h("span", { class: "strength" }, signed(signal.strength)),
    h("span", { class: `${tone(signal.signal)} optional` }, strengthBar(signal.strength)));
}

function age(envelope, now) {
  if (!envelope) return { text: "none", stale: true };
  const left = (Date.parse(envelope.fresh_until) - now) / 1000;
  if (left >= 0) return { text: "fresh", stale: false };
  const late = -left;
  return { text: `stale ${late < 120 ? Math.round(late) + " s" : late < 7200 ? Math.round(late / 60) + " min" : Math.round(late / 3600) + " h"}`, stale: true };
}

// The universe

const COLUMNS = [
  ["symbol", "Symbol", false], ["price", "Price", true], ["daily", "Daily signal", false], ["intraday", "Intraday signal", false],
  ["confidence", "Confidence", true], ["sentiment", "Sentiment", true], ["state", "Signals are", false],
];

function rowOf(segment, symbol, market, signals, sentiment, now) {
  const daily = signals?.data.daily ?? null, intraday = signals?.data.intraday ?? null;
  const newest = [daily, intraday].filter(Boolean).sort((a, b) => (a.as_of < b.as_of ? 1 : -1))[0] ?? null;
  const felt = sentiment ? (sentiment.data.intraday ?? sentiment.data.daily) : null;
  return {
    segment, symbol, price: market?.data.close ?? null, daily, intraday, confidence: newest?.confidence ?? null,
    sentiment: felt?.score ?? null, articles: felt?.article_count ?? 0, state: age(signals, now),
  };
}

function sortValue(row) {
  const value = row[state.sort];
  if (state.sort === "daily" || state.sort === "intraday") return value ? value.strength : -Infinity;
  if (state.sort === "state") return value.text;
  return value ?? -Infinity;
}

function shown() {
  const words = state.filter.trim().toUpperCase();
  const rows = state.rows.filter((row) => (!state.segment || row.segment === state.segment)
    && (!words || row.symbol.includes(words) || [row.daily, row.intraday].some((s) => s && s.signal.includes(words.replace(" ", "_")))));
  const turn = state.down ? -1 : 1;
  return rows.sort((a, b) => { const x = sortValue(a), y = sortValue(b); return (x < y ? -1 : x > y ? 1 : a.symbol < b.symbol ? -1 : 1) * turn; });
}

function universeTable() {
  const rows = shown();
  const head = COLUMNS.map(([key, name, number]) => h("th", {
    scope: "col", class: number ? "number" : null, "aria-sort": state.sort === key ? (state.down ? "descending" : "ascending") : null,
  }, h("button", { onclick: () => { state.down = state.sort === key && !state.down; state.sort = key; draw(); document.querySelector(`[data-sort=${key}]`)?.focus(); }, "data-sort": key },
    name, state.sort === key ? (state.down ? " ↓" : " ↑") : "")));
  const body = [];
  let segment = null;
  for (const row of state.sort === "symbol" ? [...rows].sort((a, b) => a.segment.localeCompare(b.segment)) : rows) {
    if (state.sort === "symbol" && row.segment !== segment) {
      segment = row.segment;
      body.push(h("tr", { class: "segment" }, h("th", { colspan: COLUMNS.length, scope: "rowgroup" }, segment)));
    }
    body.push(h("tr", {},
      h("th", { scope: "row" }, h("a", { href: `#/${encodeURIComponent(row.symbol)}` }, row.symbol)),
      h("td", { class: "number" }, price(row.price)), signalCell(row.daily), signalCell(row.intraday),
      h("td", { class: "number" }, row.confidence === null ? "–" : `${Math.round(row.confidence * 100)} %`),
      h("td", { class: "number" }, row.sentiment === null ? "no news" : `${signed(row.sentiment)} (${row.articles})`),
      h("td", { class: row.state.stale ? "stale" : null }, row.state.text)));
  }
  const stale = state.rows.filter((row) => row.state.stale).length;
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Signals of the universe" }, h("table", {},
    h("caption", {}, `${rows.length} of ${state.rows.length} symbols; ${stale ? `${stale} without a fresh signal` : "all signals fresh"}`),
    h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

function draw() {
  const holder = document.getElementById("table");
  holder?.replaceChildren(universeTable());
}

function universePage() {
  const segments = Object.keys(state.universe.segments);
  const option = (value, name) => h("option", { value, selected: value === state.segment }, name);
  main.replaceChildren(
    h("div", { class: "tools" },
      h("label", {}, "Filter by symbol or class", h("input", { type: "search", value: state.filter, oninput: (event) => { state.filter = event.target.value; draw(); } })),
      h("label", {}, "Segment", h("select", { onchange: (event) => { state.segment = event.target.value; draw(); } }, option("", "all"), segments.map((name) => option(name, name))))),
    h("div", { id: "table" }, h("p", {}, "loading …")));
}

async function refreshUniverse() {
  const of = Object.entries(state.universe.segments).flatMap(([segment, members]) => members.map((symbol) => [segment, symbol]));
  const symbols = of.map(([, symbol]) => symbol);
  const [market, signals, sentiment] = await Promise.all([hot("market", symbols), hot("signals", symbols), hot("sentiment", symbols)]);
  const now = Date.parse((await ask("/healthz")).now);
  state.rows = of.map(([segment, symbol]) => rowOf(segment, symbol, market[symbol], signals[symbol], sentiment[symbol], now));
  draw();
}

// One symbol

const facts = (pairs) => h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const scrollTable = (name, head, rows) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
  h("table", {}, h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows)));

function reasonRows(reasons) {
  return reasons.map((reason) => h("tr", {},
    h("td", { class: `number ${reason.contribution < 0 ? "sell" : "buy"}` }, signed(reason.contribution, 3), strengthBar(reason.contribution)),
    h("td", { class: "wide" }, reason.text), h("td", { class: "none optional" }, reason.rule)));
}

function articleRows(articles) {
  return articles.map((article) => h("tr", {},
    h("td", { class: "number" }, article.weight.toFixed(3)), h("td", { class: `number ${article.score < 0 ? "sell" : "buy"}` }, signed(article.score)),
    h("td", { class: "wide" }, /^https?:/.test(article.url ?? "") ? h("a", { href: article.url, rel: "noopener noreferrer" }, article.headline) : article.headline ?? "–"),
    h("td", {}, moment(article.published_at))));
}

function explanation(found) {
  const signal = found.signal, values = Object.entries(found.indicators ?? {}).filter(([name, value]) => value !== null && !["inputs_hash", "version"].includes(name));
  const total = signal.reasons.reduce((sum, reason) => sum + reason.contribution, 0);
  return h("div", { class: "cards" },
    found.newer_withheld ? h("p", { class: "notice card full" }, found.newer_withheld) : null,
    h("section", { class: "card" }, h("h3", {}, "Signal"),
      h("p", { class: "lead" }, h("span", { class: `class ${tone(signal.signal)}` }, signal.signal.replace("_", " ")), ` ${signal.horizon}`),
      facts([["decided for", moment(signal.as_of)], ["known by", moment(found.known_by)], ["valid until", moment(signal.valid_until)],
        ["strength", signed(signal.strength, 3)], ["confidence", `${Math.round(signal.confidence * 100)} %`], ["price", price(signal.price)],
        ["stop, target", signal.stop_loss === null ? "none: no position" : `${price(signal.stop_loss)}, ${price(signal.take_profit)}`],
        ["position", signal.position_fraction === null ? "none" : `${(signal.position_fraction * 100).toFixed(1)} % of the capital`],
        ["engine", `${signal.engine}, ${signal.model_version}`]])),
    h("section", { class: "card" }, h("h3", {}, "Why"),
      scrollTable("Reasons", ["contribution", "reason", ""], reasonRows(signal.reasons)),
      h("p", { class: "none" }, `The contributions add up to ${signed(total, 3)}.`)),
    h("section", { class: "card full" }, h("h3", {}, `News that counted (${found.articles.length})`),
      found.articles.length ? scrollTable("Articles", ["weight", "score", "headline", "published"], articleRows(found.articles)) : h("p", { class: "none" }, "No article in the look-back.")),
    h("section", { class: "card full" }, h("h3", {}, "Indicators"),
      values.length ? facts(values.map(([name, value]) => [name, typeof value === "number" ? String(+value.toPrecision(7)) : typeof value === "string" && value.includes("T") ? moment(value) : String(value)])) : h("p", { class: "none" }, "None are stored.")));
}

function symbolPage(symbol) {
  main.replaceChildren(
    h("p", {}, h("a", { href: "#/" }, "← all symbols")), h("h2", {}, symbol),
    h("div", { class: "tools" },
      h("label", {}, "Horizon", h("select", { id: "horizon", onchange: () => refresh() }, h("option", { value: "" }, "newest"), h("option", { value: "daily" }, "daily"), h("option", { value: "intraday" }, "intraday"))),
      h("label", {}, "As of (UTC); empty for now", h("input", { type: "datetime-local", id: "asof", value: state.asOf, onchange: (event) => { state.asOf = event.target.value; refresh(); } }))),
    h("div", { id: "explanation", "aria-live": "polite" }, h("p", {}, "loading …")));
}

async function refreshSymbol(symbol) {
  const horizon = document.getElementById("horizon").value, query = new URLSearchParams();
  if (horizon) query.set("horizon", horizon);
  if (state.asOf) query.set("as_of", `${state.asOf}:00+00:00`);
  const holder = document.getElementById("explanation");
  let shownNow;
  try {
    const found = await ask(`/api/signals/${encodeURIComponent(symbol)}/explain?${query}`);
    shownNow = JSON.stringify(found);
    if (holder.dataset.shown !== shownNow) holder.replaceChildren(explanation(found));
  } catch (error) {
    if (!error.code || error.code === "SERVICE_UNAVAILABLE") throw error;
    shownNow = error.message;
    if (holder.dataset.shown !== shownNow) holder.replaceChildren(h("p", { class: "notice" }, error.message));
  }
  holder.dataset.shown = shownNow;
}

// Pages, and the pulse

const page = () => decodeURIComponent(location.hash.replace(/^#\/?/, ""));

async function refresh() {
  clearTimeout(state.timer);
  try {
    const symbol = page();
    await (symbol ? refreshSymbol(symbol) : refreshUniverse());
    connection.textContent = `live, updated ${new Date().toLocaleTimeString()}`;
    connection.className = "";
  } catch (error) {
    connection.textContent = `no answer (${error.message}); trying again`;
    connection.className = "lost";
  }
  state.timer = setTimeout(refresh, REFRESH_MS);
}

async function show() {
  try {
    state.universe ??= await ask("/api/universe");
  } catch (error) {
    connection.textContent = `the API does not answer: ${error.message}`;
    connection.className = "lost";
    setTimeout(show, REFRESH_MS);
    return;
  }
  const symbol = page();
  document.title = symbol ? `${symbol} · PaiiD signals` : "PaiiD signals";
  if (symbol) symbolPage(symbol); else universePage();
  await refresh();
}

addEventListener("hashchange", () => { state.asOf = ""; show(); main.focus(); });
show();
