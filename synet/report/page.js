// Draws the charts of a report, in the colours that the reader prefers.
(() => {
  "use strict";
  const stored = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = stored("figures");
  const twins = new Map(Object.entries(stored("twins")));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  const choice = document.getElementById("class");
  const config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };

  function coloured(figure) {
    const twin = (_, value) => (typeof value === "string" && twins.get(value)) || value;
    return JSON.parse(JSON.stringify(figure), dark.matches ? twin : undefined);
  }

  function draw(name) {
    const { data, layout } = coloured(figures[name]);
    if (narrow.matches) layout.xaxis.nticks /= 2;
    if (name === "curves" && choice) {
      for (const trace of data) trace.visible = trace.meta === Number(choice.value);
    }
    return Plotly.react(`chart-${name}`, data, layout, config);
  }

  const drawAll = () => Promise.all(Object.keys(figures).map(draw));
  dark.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  choice?.addEventListener("change", () => draw("curves"));
  drawAll().then(() => document.body.classList.add("drawn"));
})();
