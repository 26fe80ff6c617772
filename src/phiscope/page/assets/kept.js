// ---- pictures kept with the run ----------------------------------------------------------------

// They show what was tried once, so that no switch and no slide changes them.
function drawKept(chart) {
  if (chart.dataset.drawn) return;
  const spec = data.kept[chart.dataset.kept];
  draw(chart, spec.data, spec.layout);
  chart.dataset.drawn = "yes";
}
