"use strict";
// What the pages share: making elements, and a player of the frames of one tracklet.
// Names from outside become text (textContent, setAttribute), never HTML.
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
};

// A sheet is one picture: frames side by side in cells of one width. A cell is drawn on a canvas.
const drawCell = (canvas, picture, cell, width) => {
  canvas.width = width;
  canvas.height = picture.naturalHeight;
  canvas.getContext("2d").drawImage(picture, cell * width, 0, width, canvas.height, 0, 0, width, canvas.height);
};

class TrackletPlayer {
  // Puts its elements into host. Keys, where the focus is in `within`: space plays, arrows step, Home and End.
  constructor(host, within = host) {
    this.canvas = make("canvas", { role: "img" });
    this.play = make("button", { type: "button", on: { click: () => this.toggle() } });
    this.slider = make("input", { type: "range", min: 1, step: 1, "aria-label": "Frame", on: { input: () => this.seek(this.slider.value - 1) } });
    this.count = make("output", { class: "count" });
    this.zoom = make("button", { type: "button", "aria-pressed": "false", on: { click: () => this.enlarge(!this.large) } }, "Zoom");
    this.controls = make("div", { class: "controls" }, this.play, this.slider, this.count, this.zoom);
    this.host = host;
    host.classList.add("player");
    host.append(make("div", { class: "stage" }, this.canvas), this.controls);
    within.addEventListener("keydown", (event) => this.key(event));
    this.picture = new Image();
    this.picture.addEventListener("load", () => { this.ready = true; this.draw(); if (this.wanted) this.start(); if (this.loaded) this.loaded(this.picture); });
    this.picture.addEventListener("error", () => { this.count.textContent = "picture not found"; });
  }

  // what: {sheet, frames, width, seconds (null: not known), name}; loaded: called with the picture.
  show(what, loaded = null) {
    this.stop();
    Object.assign(this, { what, loaded, at: 0, ready: false });
    this.slider.max = what.frames;
    this.canvas.width = this.canvas.width; // empties it
    const one = what.frames < 2;
    this.play.disabled = this.slider.disabled = one;
    this.wanted = !one && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    // In real time where that can be seen: the frames shown are spread over the tracklet.
    const pause = what.seconds ? (1000 * what.seconds) / Math.max(1, what.frames - 1) : 120;
    this.pause = Math.min(400, Math.max(40, pause));
    this.label();
    this.picture.src = what.sheet;
  }

  label() {
    const { frames, name } = this.what;
    this.play.textContent = this.timer ? "❚❚ Pause" : "▶ Play";
    this.slider.value = this.at + 1;
    this.slider.setAttribute("aria-valuetext", `frame ${this.at + 1} of ${frames}`);
    this.count.textContent = `${this.at + 1} / ${frames}`;
    this.canvas.setAttribute("aria-label", `${name}, frame ${this.at + 1} of ${frames}`);
  }

  draw() {
    this.label();
    if (this.ready) drawCell(this.canvas, this.picture, this.at, this.what.width);
  }

  seek(at) {
    this.stop();
    this.at = Math.min(this.what.frames - 1, Math.max(0, Number(at)));
    this.draw();
  }

  start() {
    this.wanted = false;
    clearInterval(this.timer);
    this.timer = setInterval(() => { this.at = (this.at + 1) % this.what.frames; this.draw(); }, this.pause);
    this.label();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.wanted = false;
    if (this.what) this.label();
  }

  toggle() {
    if (this.timer) this.stop();
    else this.start();
  }

  enlarge(large) {
    this.large = large;
    this.host.classList.toggle("large", large);
    this.zoom.setAttribute("aria-pressed", String(large));
  }

  key(event) {
    const steps = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: Infinity };
    if (event.altKey || event.ctrlKey || event.metaKey || !this.what) return;
    if (!this.host.offsetParent || event.defaultPrevented) return;
    if (event.key in steps && event.target !== this.slider) this.seek(steps[event.key]);
    else if (event.key === " " && event.target.tagName !== "BUTTON") this.toggle();
    else return;
    event.preventDefault();
  }
}
