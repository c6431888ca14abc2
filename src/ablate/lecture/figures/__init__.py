"""The lecture's figures, one module each, with compute(lab, **knobs) -> arrays, draw(arrays) and caption(arrays)."""
