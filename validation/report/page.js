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
