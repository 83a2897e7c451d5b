for (const figure of document.querySelectorAll(".compare")) {
  const stage = figure.querySelector(".stage");
  const images = [...stage.querySelectorAll("img")];
  const side = (name) => figure.querySelector("select." + name);
  const show = () => {
    const left = side("left").value, right = side("right").value;
    for (const image of images) {
      image.hidden = image.dataset.name !== left && image.dataset.name !== right;
      image.classList.toggle("over", image.dataset.name === left && left !== right);
    }
    stage.querySelector(".tag.left").textContent = left;
    stage.querySelector(".tag.right").textContent = right;
  };
  const range = stage.querySelector("input");
  range.addEventListener("input", () => stage.style.setProperty("--at", range.value / 10 + "%"));
  for (const name of ["left", "right"]) side(name).addEventListener("change", show);
  show();
}
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim(), number = parseFloat(text);
    return Number.isNaN(number) ? text : number;
  };
  headers.forEach((header, column) => {
    header.querySelector("button")?.addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") === "descending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        const order = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1;
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
