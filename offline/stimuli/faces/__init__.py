"""Procedural faces.

`face_parameters` lists what faces differ in (no torch); `face_renderer.FaceRenderer` draws them;
`export_renderer` writes the renderer as ONNX. The layers of a face are one file each: `portrait`
(coordinates, light, colours), `face_backdrop`, `face_skin`, `face_mouth`, `face_eyes`,
`face_hair`, all painted with `soft_shapes`.
"""
