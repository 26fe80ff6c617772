// ---- pictures kept with the run ----------------------------------------------------------------

// They show what was tried once, so that no switch and no slide changes them.
function drawTried(chart) {
  if (chart.dataset.drawn) return;
  const spec = data.tried[chart.dataset.tried];
  draw(chart, spec.data, spec.layout);
  chart.dataset.drawn = "yes";
}
