// The page of people, and of the answers of a search: rows with a timeline over cameras, filters, keys.
// item: n name, p gallery, c camera, s and e its time in seconds (null: none on the common axis), z offset of
// its clock, v times in words, f frames of its video, q confidence, t thumbnail, h sheet, k frames in it,
// w their width, m part maps behind them, g frames of the tracklet, x why there is no picture, near.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { items } = data;
  const search = data.kind === "search";
  const timed = items.filter((item) => item.s !== null);
  const whole = timed.length ? [Math.min(...timed.map((item) => item.s)), Math.max(...timed.map((item) => item.e))] : null;
  const dayOf = (item) => times(data.clock, false).day(item.s, item.z);
  const days = data.clock ? [...new Set(timed.map(dayOf))].sort() : [];
  const time = times(data.clock, days.length > 1);
  const zone = timed.length ? timed[0].z : 0;
  const owners = new Array(items.length).fill(null); // the row of each item
  const form = document.getElementById("filters");
  const control = (name) => form.querySelector(`[data-filter=${name}]`);
  const main = document.querySelector("main");
  const list = document.getElementById("rows");
  let span = whole;
  let chosen = null;

  const percent = (at) => (100 * (at - span[0])) / Math.max(1e-9, span[1] - span[0]);
  const when = (item) => (item.s === null ? item.v : time.short(item.s, item.z));
  const between = (item) => (item.s === null ? item.v || "time not known" : `${time.short(item.s, item.z)} to ${time.short(item.e, item.z)}`);
  // A camera that is a number is said to be one.
  const camera = (number) => (/^\d+$/.test(data.cameras[number]) ? `camera ${data.cameras[number]}` : data.cameras[number]);
  const colour = (item) => `k${item.c % 6}`;

  const far = (distance) => `dist. ${distance.toPrecision(3)}`; // short, to stand in one line below a thumbnail

  // A thumbnail that plays its tracklet. texts: lines below the picture; entry: its place in a row.
  const button = (index, texts, entry = null) => {
    const item = items[index];
    const marks = entry && "match" in entry ? (entry.match ? "yes" : "no") : entry && "right" in entry ? (entry.right ? "yes" : "no") : "";
    const said = [`Play ${item.n}`, camera(item.c), between(item), ...texts].filter(Boolean).join(", ").replace("dist. ", "distance ");
    const made = make("button", { type: "button", class: `thumb ${marks}`, "aria-label": said, title: item.n, "data-item": index, on: { click: () => choose(index, made) } },
      item.t ? make("img", { src: item.t, alt: "", loading: "lazy", decoding: "async" }) : make("span", { class: "none" }, "no picture"),
      ...texts.map((text, k) => make("span", { class: k === 0 && marks ? "mark" : "" }, text)),
      make("span", { class: "cam" }, make("i", { class: colour(item) }), camera(item.c)),
      make("span", { class: "quiet" }, when(item) || item.n));
    if (index === chosen) made.classList.add("chosen");
    return made;
  };

  const words = (entry) => {
    if (!search) return [];
    if (entry.query) return ["query"];
    const said = "match" in entry ? (entry.match ? " ✓ yes" : " ✗ no") : "";
    const right = "right" in entry ? (entry.right ? " · right" : " · wrong") : "";
    return [`${entry.rank}${said}${right}`, far(entry.d)];
  };

  class Row {
    constructor(row, number) {
      Object.assign(this, row, { number, shown: [], near: false });
      this.cameras = new Set(row.entries.map((entry) => items[entry.i].c)).size;
      const seen = row.entries.map((entry) => items[entry.i].s).filter((at) => at !== null);
      this.first = seen.length ? Math.min(...seen) : Infinity;
      this.line = make("p");
      this.body = make("div");
      this.element = make("section", { class: "row", id: `row-${number}`, "aria-labelledby": `name-${number}` }, make("h2", { id: `name-${number}` }, row.name), this.line, this.body);
      for (const entry of row.entries) if (!search || entry.query) owners[entry.i] ??= this;
    }

    // Which entries pass; a query is always shown with its answers.
    filter(test) {
      this.shown = this.entries.filter((entry) => entry.query || test(items[entry.i], entry, this));
      const found = this.shown.some((entry) => !entry.query);
      this.element.hidden = !found;
      if (found) this.describe();
      this.element.classList.remove("built");
      this.body.replaceChildren();
      if (this.near && found) this.build();
      return found;
    }

    describe() {
      const own = this.shown.map((entry) => items[entry.i]);
      const seen = own.filter((item) => item.s !== null);
      const parts = [];
      if (search) parts.push(this.line0);
      else {
        const cameras = new Set(own.map((item) => item.c)).size;
        parts.push(own.length === 1 ? "1 tracklet" : `${own.length} tracklets`, cameras === 1 ? camera(own[0].c) : `${cameras} cameras`);
        if (own.length < this.entries.length) parts[0] += ` of ${this.entries.length}`;
        if (seen.length) {
          const first = seen.reduce((a, b) => (b.s < a.s ? b : a));
          const last = seen.reduce((a, b) => (b.e > a.e ? b : a));
          parts.push(`${time.short(first.s, first.z)} to ${time.short(last.e, last.z)}`);
        }
        const sure = own.map((item) => item.q).filter((q) => q !== null);
        if (sure.length) parts.push(`confidence ${[...new Set([Math.min(...sure), Math.max(...sure)].map((q) => q.toFixed(2)))].join(" to ")}`);
      }
      this.line.textContent = parts.filter(Boolean).join(" · ");
    }

    build() {
      if (this.element.classList.contains("built") || this.element.hidden) return;
      this.element.classList.add("built");
      if (span) this.body.append(this.timeline());
      const thumbs = this.shown.map((entry) => {
        const made = button(entry.i, words(entry), entry);
        if (entry.query) made.classList.add("query");
        made.tabIndex = -1;
        return make("li", {}, made);
      });
      thumbs[0].firstChild.tabIndex = 0;
      this.body.append(make("ul", { class: "strip", "aria-label": `${this.name}: tracklets` }, ...thumbs));
    }

    timeline() {
      const lanes = new Map();
      for (const entry of this.shown) {
        const item = items[entry.i];
        if (item.s === null || item.e < span[0] || item.s > span[1]) continue;
        if (!lanes.has(item.c)) lanes.set(item.c, []);
        lanes.get(item.c).push(entry);
      }
      const said = [];
      const made = [...lanes].sort((a, b) => a[0] - b[0]).map(([number, entries]) => {
        const track = make("div", { class: "track" });
        for (const entry of entries) {
          const item = items[entry.i];
          const bar = make("span", { class: `bar ${colour(item)}`, title: `${camera(number)}, ${between(item)}`, "data-item": entry.i, on: { click: () => choose(entry.i, this.thumb(entry.i)) } });
          const [from, to] = [Math.max(0, percent(item.s)), Math.min(100, percent(item.e))];
          bar.style.left = `min(${from}%, 100% - 5px)`;
          bar.style.width = `${to - from}%`;
          if (entry.i === chosen) bar.classList.add("chosen");
          track.append(bar);
        }
        if (search) track.append(...this.queryTime());
        said.push(`${camera(number)}: ${entries.map((entry) => between(items[entry.i])).join("; ")}`);
        return make("div", { class: "lane" }, make("span", { title: camera(number) }, camera(number)), track);
      });
      return make("div", { class: "lanes", role: "img", "aria-label": said.length ? `Timeline. ${said.join(". ")}` : "Timeline: no times known" }, ...made);
    }

    queryTime() {
      const at = items[this.entries[0].i].s;
      if (at === null || at < span[0] || at > span[1]) return [];
      const mark = make("span", { class: "query-time", title: "time of the query" });
      mark.style.left = `${percent(at)}%`;
      return [mark];
    }

    thumb(index) {
      this.build();
      return this.body.querySelector(`.thumb[data-item="${index}"]`);
    }
  }

  const rows = data.rows.map((row, number) => new Row({ ...row, line0: row.line }, number));
  const panel = new Panel({
    data, time, camera, button, far,
    owner: (index) => (owners[index] ? owners[index].name : items[index].n),
    step: (by) => step(by),
    closed: () => { const from = focusFrom(); mark(null); if (from) from.focus(); },
  });

  // The chosen tracklet: outlined wherever it is, and its time marked on every timeline.
  let opener = null;
  const focusFrom = () => (opener && opener.isConnected ? opener : chosen !== null && owners[chosen] ? owners[chosen].thumb(chosen) : null);
  const mark = (index) => {
    for (const old of document.querySelectorAll(".chosen")) old.classList.remove("chosen");
    chosen = index;
    const item = index === null ? null : items[index];
    const visible = item !== null && span && item.s !== null && item.s >= span[0] && item.s <= span[1];
    main.classList.toggle("marked", Boolean(visible));
    if (visible) main.style.setProperty("--at", `${percent(item.s)}%`);
    if (item) for (const made of document.querySelectorAll(`[data-item="${index}"]`)) made.classList.add("chosen");
    drawAxis(visible ? item : null);
  };

  const choose = (index, from) => {
    if (from && !panel.host.contains(from)) opener = from;
    panel.show(index);
    mark(index);
    panel.title.focus({ preventScroll: true });
    panel.host.scrollTop = 0;
  };

  const step = (by) => {
    const visible = rows.filter((row) => !row.element.hidden).flatMap((row) => row.shown.map((entry) => [row, entry.i]));
    const at = visible.findIndex(([row, index]) => index === chosen && (!opener || row.element.contains(opener) || !opener.isConnected));
    const [row, index] = visible[(Math.max(0, at) + (at < 0 ? 0 : by) + visible.length) % visible.length];
    row.element.scrollIntoView({ block: "nearest" });
    choose(index, row.thumb(index));
  };

  const drawAxis = (now) => {
    const axis = document.getElementById("axis");
    axis.hidden = !span;
    if (!span) return;
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
      const tick = make("span", {}, time.short(span[0] + share * (span[1] - span[0]), zone));
      tick.style.left = `${100 * share}%`;
      return tick;
    });
    if (innerWidth < 700) ticks.splice(1, 3, ticks[2]);
    // The first and the last stand beside their place, the others and that of now in the middle of it.
    const half = innerWidth < 700 ? 10 : 3;
    const middle = (tick) => Math.min(100 - half, Math.max(half, parseFloat(tick.style.left)));
    for (const tick of ticks) tick.hidden = Boolean(now) && Math.abs(middle(tick) - percent(now.s)) < 2.2 * half;
    axis.firstElementChild.textContent = days.length === 1 ? days[0] : "";
    if (now) {
      ticks.splice(1, 0, make("span", { class: "now" }, time.short(now.s, now.z)));
      ticks[1].style.left = `clamp(2rem, ${percent(now.s)}%, 100% - 2rem)`;
    }
    axis.querySelector(".ticks").replaceChildren(...ticks);
  };

  const orders = {
    time: (a, b) => a.first - b.first || a.number - b.number,
    many: (a, b) => b.entries.length - a.entries.length || a.number - b.number,
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) || a.number - b.number,
  };
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const row = rows[Number(entry.target.id.slice(4))];
      row.near = entry.isIntersecting;
      if (row.near) row.build();
    }
    opened();
  }, { rootMargin: "600px" });

  const apply = () => {
    const value = Object.fromEntries([...form.querySelectorAll("[data-filter]")].map((each) => [each.dataset.filter, each.value]));
    const text = value.text.trim().toLowerCase();
    const sure = Number(value.confidence);
    const from = time.read(value.from, zone);
    const until = time.read(value.to, zone);
    const to = until === null || !data.clock ? until : until + 0.999; // the field has whole seconds
    control("confidence").nextElementSibling.textContent = sure.toFixed(2);
    const passes = (item) => !value.day || (item.s !== null && dayOf(item) === value.day);
    if (whole) {
      const within = value.day ? timed.filter(passes) : timed;
      span = [from ?? Math.min(...within.map((item) => item.s)), to ?? Math.max(...within.map((item) => item.e))];
      if (span[1] <= span[0]) span = whole;
    }
    let [people, tracklets] = [0, 0];
    for (const row of rows) {
      const named = !text || row.name.toLowerCase().includes(text);
      const enough = search || row.cameras >= Number(value.cameras);
      const found = row.filter((item, entry) => enough && passes(item)
        && (named || item.n.toLowerCase().includes(text))
        && (!value.camera || String(item.c) === value.camera)
        && (from === null || (item.s !== null && item.e >= from))
        && (to === null || (item.s !== null && item.s <= to))
        && (!sure || (item.q !== null && item.q >= sure))
        && (!value.match || ("match" in entry && (entry.match ? "yes" : "no") === value.match)));
      if (found) people += 1;
      tracklets += found ? row.shown.filter((entry) => !entry.query).length : 0;
    }
    const all = rows.reduce((sum, row) => sum + row.entries.filter((entry) => !entry.query).length, 0);
    document.getElementById("shown").textContent = search
      ? `${people} of ${rows.length} queries, ${tracklets} of ${all} answers`
      : `${people} of ${rows.length} people, ${tracklets} of ${all} tracklets`;
    let empty = document.getElementById("empty");
    if (!empty) main.append((empty = make("p", { id: "empty", class: "empty" }, "Nothing passes this filter.")));
    empty.hidden = people > 0;
    mark(chosen);
  };

  const arrange = () => {
    const ordered = search ? rows : [...rows].sort(orders[control("order").value]);
    list.append(...ordered.map((row) => row.element));
  };

  // Arrows between tracklets and rows; Escape, N and P wherever the focus is.
  list.addEventListener("keydown", (event) => {
    const thumb = event.target.closest(".thumb");
    if (!thumb || event.altKey || event.ctrlKey || event.metaKey) return;
    const own = [...thumb.closest(".strip").querySelectorAll(".thumb")];
    const at = own.indexOf(thumb);
    let next = { ArrowRight: own[at + 1], ArrowLeft: own[at - 1], Home: own[0], End: own[own.length - 1] }[event.key];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      let row = thumb.closest(".row");
      do row = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling; while (row && row.hidden);
      if (row) {
        rows[Number(row.id.slice(4))].build();
        next = row.querySelector(".thumb[tabindex='0']");
      }
    } else if (next) {
      for (const each of own) each.tabIndex = each === next ? 0 : -1;
    }
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (!panel.open || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") panel.close();
    else if (!/^(INPUT|SELECT)$/.test(event.target.tagName) && /^[np]$/i.test(event.key)) step(event.key.toLowerCase() === "n" ? 1 : -1);
  });

  // How long it took until the first rows were there, for measurements: from the start of the navigation.
  let done = false;
  const opened = () => {
    if (done) return;
    done = true;
    requestAnimationFrame(() => setTimeout(() => performance.measure("keyreid-open", { start: 0, end: performance.now() }), 0));
  };

  const option = (value, text) => make("option", { value }, text);
  control("camera").append(...data.cameras.map((_, number) => option(number, camera(number))));
  control("day").append(...days.map((day) => option(day, day)));
  const useful = {
    day: days.length > 1, time: timed.length > 0, confidence: items.some((item) => item.q !== null),
    match: search && data.rows.some((row) => row.entries.some((entry) => "match" in entry)), order: !search, cameras: !search && data.cameras.length > 1,
  };
  for (const label of form.querySelectorAll("[data-for]")) label.hidden = !useful[label.dataset.for];
  for (const name of ["from", "to"]) {
    const field = control(name);
    if (data.clock && whole) Object.assign(field, { type: "datetime-local", step: 1, min: time.field(whole[0], zone), max: time.field(whole[1] + 1, zone) });
    else Object.assign(field, { type: "number", step: "any", placeholder: "seconds" });
  }
  form.reset(); // a reloaded page keeps what was chosen, without its effect
  const box = document.getElementById("filter-box");
  box.hidden = false;
  box.open = innerWidth >= 700; // on a phone the people come first
  form.addEventListener("input", (event) => { if (event.target.dataset.filter === "order") arrange(); else apply(); });
  form.addEventListener("reset", () => setTimeout(() => { arrange(); apply(); }, 0));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("resize", () => mark(chosen));
  arrange();
  apply();
  for (const row of rows) observer.observe(row.element);
  if (!rows.length) opened();
  if (/^#row-\d+$/.test(location.hash) && rows[location.hash.slice(5)]) rows[location.hash.slice(5)].element.scrollIntoView();
})();
