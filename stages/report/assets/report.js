"use strict";
(() => {
  const filters = document.getElementById("filters");
  const controls = [...filters.querySelectorAll("[data-filter]")];
  const items = [...document.querySelectorAll("[data-item]")];
  const shown = document.getElementById("shown");

  const matches = (item, control) => {
    const wanted = control.value.trim().toLowerCase();
    const value = (item.dataset[control.dataset.filter] || "").toLowerCase();
    return !wanted || (control.type === "search" ? value.includes(wanted) : value === wanted);
  };

  const apply = () => {
    const visible = { cards: 0, rows: 0 };
    const total = { cards: 0, rows: 0 };
    for (const item of items) {
      const keep = controls.every((control) => matches(item, control));
      item.hidden = !keep;
      total[item.dataset.item] += 1;
      visible[item.dataset.item] += keep ? 1 : 0;
    }
    shown.textContent =
      `${visible.cards} of ${total.cards} shown with ranking lists, ${visible.rows} of ${total.rows} in the table`;
  };

  const clear = () => {
    for (const control of controls) control.value = "";
    apply();
  };

  for (const control of controls) control.addEventListener("input", apply);
  document.getElementById("clear").addEventListener("click", clear);

  const cell = (row, column) => row.children[column].textContent.trim();

  const sort = (table, column, heading) => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [cell(a, column), cell(b, column)];
      return heading.classList.contains("num")
        ? parseFloat(x) - parseFloat(y) || x.localeCompare(y)
        : x.localeCompare(y);
    });
    body.append(...(descending ? rows.reverse() : rows));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading));
    });
  }

  // A row of the table leads to its ranking list, also where a filter hides that.
  for (const link of document.querySelectorAll("tbody th a")) {
    link.addEventListener("click", () => {
      const card = document.querySelector(link.hash).closest(".card");
      if (card.hidden) clear();
    });
  }

  // What is led to stands below the filters, which stay at the top.
  const makeRoom = () => {
    const stays = getComputedStyle(filters).position === "sticky";
    document.documentElement.style.setProperty("--above", `${stays ? filters.offsetHeight + 8 : 16}px`);
  };
  addEventListener("resize", makeRoom);

  const dialog = document.getElementById("player");
  const player = new TrackletPlayer(document.getElementById("player-box"), dialog);
  player.zoom.addEventListener("click", () => dialog.classList.toggle("large", player.large));
  document.getElementById("player-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => player.stop());
  document.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
    const button = event.target.closest(".show");
    if (!button) return;
    const sheet = document.getElementById(`sheet-${button.dataset.sheet}`);
    document.getElementById("player-title").textContent = button.dataset.name;
    dialog.showModal();
    player.show({ sheet: sheet.value, frames: Number(sheet.dataset.frames), width: Number(sheet.dataset.width), seconds: null, name: button.dataset.name });
  });

  filters.hidden = false;
  clear(); // a reloaded page keeps what was chosen, without its effect
  makeRoom();
})();
