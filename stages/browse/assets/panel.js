// The panel of one tracklet: player, what is known of it, part maps, its nearest tracklets.
// page: {data, time, camera(number), button(index, texts), far(distance), owner(index), closed(), step(by)}
class Panel {
  constructor(page) {
    this.page = page;
    this.host = document.getElementById("panel");
    this.title = make("h2", { id: "panel-title", tabindex: -1 });
    const tool = (text, label, act) => make("button", { type: "button", class: "plain", "aria-label": label, title: label, on: { click: act } }, text);
    this.box = make("div");
    this.facts = make("dl");
    this.more = make("div");
    this.host.append(
      make("div", { class: "head" }, this.title,
        tool("‹", "Previous tracklet (P)", () => page.step(-1)),
        tool("›", "Next tracklet (N)", () => page.step(1)),
        tool("×", "Close (Escape)", () => this.close())),
      this.box, this.facts, this.more);
    this.player = new TrackletPlayer(this.box, this.host);
    this.player.zoom.addEventListener("click", () => this.host.classList.toggle("wide", this.player.large));
  }

  get open() { return !this.host.hidden; }

  show(index) {
    const { data, time } = this.page;
    const item = data.items[index];
    this.title.textContent = this.page.owner(index);
    this.host.hidden = false;
    document.body.classList.add("open");
    const facts = [["Tracklet", item.n], ["Camera", this.page.camera(item.c)]];
    if (data.galleries.length > 1) facts.push(["Gallery", data.galleries[item.p]]);
    if (item.s !== null) facts.push(["From", time.full(item.s, item.z)], ["To", time.full(item.e, item.z)]);
    else if (item.v) facts.push(["In its video", item.v]);
    if (item.f) facts.push(["Frames of the video", item.f]);
    if (item.q !== null) facts.push(["Confidence", item.q.toFixed(2)]);
    if (item.h) facts.push(["Shown", item.k < item.g ? `${item.k} of ${item.g} frames, evenly spaced` : `all ${item.g} frames`]);
    this.facts.replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
    this.more.replaceChildren();
    this.box.hidden = !item.h;
    if (item.h) {
      const seconds = item.s !== null ? item.e - item.s : null;
      this.player.show({ sheet: item.h, frames: item.k, width: item.w, seconds, name: item.n }, (picture) => this.parts(item, picture));
    } else {
      this.player.stop();
      this.more.append(make("p", { class: "quiet" }, item.x));
    }
    this.partList = make("ul", { class: "parts" });
    if (item.h) this.more.append(make("h3", {}, "Part maps: heat on the middle frame"), item.m ? this.partList : make("p", { class: "quiet" }, "No pose cache with this tracklet was found."));
    if (item.near.length) {
      const list = item.near.map(([other, distance]) => make("li", {}, this.page.button(other, [this.page.owner(other), this.page.far(distance)])));
      this.more.append(make("h3", {}, "Nearest tracklets"), make("ul", { class: "strip" }, ...list));
    }
  }

  parts(item, picture) {
    this.partList.replaceChildren(...this.page.data.parts.slice(0, item.m).map((name, k) => {
      const canvas = make("canvas", { role: "img", "aria-label": `Heat of ${name}` });
      drawCell(canvas, picture, item.k + k, item.w);
      return make("li", {}, canvas, make("span", {}, name));
    }));
  }

  close() {
    this.player.stop();
    this.host.hidden = true;
    document.body.classList.remove("open");
    this.page.closed();
  }
}
