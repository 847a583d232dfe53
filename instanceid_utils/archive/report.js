"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id);
const identities = new Map(data.identities.map(one => [one.id, one]));
const MOST_ROWS = 100;  // of the timeline
let selected = null;

// What comes from file names is only ever set as text.
function make(tag, text, attributes = {}, space = null) {
  const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
  if (text !== null) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function clock(seconds) {
  const whole = Math.floor(seconds), two = n => String(n).padStart(2, "0");
  const tenth = Math.floor((seconds - whole) * 10);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return `${hours ? hours + ":" : ""}${two(minutes)}:${two(whole % 60)}.${tenth}`;
}

const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const picture = (source, id) => make("img", null, {src: "data:image/jpeg;base64," + source, alt: `identity ${id}`});

function matching() {
  const asked = by("search").value.trim().toLowerCase();
  if (!asked) return data.identities;
  if (/^\d+$/.test(asked) && identities.has(Number(asked))) return [identities.get(Number(asked))];
  const videos = new Set();
  data.videos.forEach((video, n) => {
    if (video.name.toLowerCase().includes(asked) || video.key.toLowerCase().includes(asked)) videos.add(n);
  });
  return data.identities.filter(one => one.sightings.some(s => videos.has(s.video)));
}

function select(id) {
  selected = identities.has(id) ? id : null;
  history.replaceState(null, "", selected === null ? "#" : "#" + selected);
  show();
}

function show() {
  const found = matching();
  by("count").textContent = `${found.length} of ${data.n_identities} ${data.n_identities === 1 ? "identity" : "identities"}`
    + (data.n_identities > data.identities.length ? `; those ${data.identities.length} seen most are shown, identities.csv has all` : "");
  by("list").replaceChildren(...found.map(card));
  detail();
  times(selected === null ? found : [identities.get(selected)]);
}

function card(one) {
  const node = make("button", null, {class: "card", type: "button", "aria-pressed": one.id === selected, "data-id": one.id});
  node.style.borderTopColor = one.colour;
  node.append(one.views.length ? picture(one.views[0], one.id) : make("div", "", {class: "none"}), make("b", `ID ${one.id}`));
  node.append(make("small", plural(one.n_sightings, "sighting")));
  node.addEventListener("click", () => select(one.id === selected ? null : one.id));
  return node;
}

function detail() {
  const one = identities.get(selected);
  if (!one) return by("detail").replaceChildren(make("p", "Click an identity to see where it was.", {class: "note"}));
  const views = make("div", null, {id: "views"});
  views.append(...one.views.map(view => picture(view, one.id)));
  const table = make("table", null), head = make("tr", null);
  head.append(...["video", "local ID", "from", "to", "frames", "confidence"].map(name => make("th", name)));
  table.append(head);
  for (const s of one.sightings) {
    const row = make("tr", null), video = data.videos[s.video];
    row.append(make("td", video.name, {title: video.key}));
    for (const value of [s.local, clock(s.from), clock(s.to), s.frames, s.sure === null ? "" : s.sure.toFixed(2)]) {
      row.append(make("td", value, {class: "n"}));
    }
    table.append(row);
  }
  const left = one.n_sightings - one.sightings.length;
  by("detail").replaceChildren(make("h2", `Identity ${one.id}`), views, table);
  if (left) by("detail").append(make("p", `and ${plural(left, "sighting")} more, see sightings.csv`, {class: "note"}));
}

function times(found) {
  const rows = new Map();
  for (const one of found) for (const s of one.sightings) {
    if (!rows.has(s.video)) rows.set(s.video, []);
    rows.get(s.video).push([one, s]);
  }
  const order = [...rows.keys()].sort((a, b) => a - b), shown = order.slice(0, MOST_ROWS);
  const length = Math.max(...shown.map(n => data.videos[n].seconds), 0.001);
  by("times").replaceChildren(...shown.map(n => track(data.videos[n], rows.get(n), length)));
  if (order.length > shown.length) by("times").append(make("p", `and ${plural(order.length - shown.length, "video")} more`, {class: "note"}));
}

function track(video, bars, length) {
  const space = "http://www.w3.org/2000/svg", row = make("div", null, {class: "track"});
  const svg = make("svg", null, {viewBox: "0 0 1000 24", preserveAspectRatio: "none", role: "img", "aria-label": video.name}, space);
  const scale = 1000 / length;
  svg.append(make("rect", null, {width: video.seconds * scale, height: 24, fill: "#8883"}, space));
  const height = Math.max(24 / bars.length, 2);
  bars.forEach(([one, s], n) => {
    const bar = make("rect", null, {x: s.from * scale, y: (n * height) % 24, width: Math.max((s.to - s.from) * scale, 2),
      height, fill: one.colour, "data-id": one.id}, space);
    bar.append(make("title", `ID ${one.id}, ${clock(s.from)} to ${clock(s.to)}`, {}, space));
    bar.addEventListener("click", () => select(one.id));
    svg.append(bar);
  });
  row.append(make("span", video.name, {title: video.key}), svg);
  return row;
}

by("search").addEventListener("input", () => { selected = null; show(); });
by("search").addEventListener("keydown", event => {
  const found = matching();
  if (event.key === "Enter" && found.length) select(found[0].id);
});
window.addEventListener("hashchange", () => select(Number(location.hash.slice(1))));
select(Number(location.hash.slice(1)));
