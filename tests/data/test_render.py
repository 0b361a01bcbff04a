import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.data.render import interpolate, rasterise, shade, vertex_normals, visible
from handfast.geometry import Camera

CAMERA = Camera(fx=300.0, fy=290.0, cx=161.3, cy=117.8, width=320, height=240)
SMALL = Camera(fx=40.0, fy=44.0, cx=15.2, cy=11.7, width=32, height=24)
# One pixel is one unit at z = 1: vertices are pixels.
PIXELS = Camera(fx=1.0, fy=1.0, cx=0.0, cy=0.0, width=8, height=6)


def rays(camera):
    """(H, W, 3) ray of each pixel, z = 1."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return camera.unproject(np.stack([x, y], axis=-1), np.ones((camera.height, camera.width)))


def plane_quad(centre, normal, half_size):
    """A square about a point, as two triangles."""
    normal = np.asarray(normal) / np.linalg.norm(normal)
    side = np.cross(normal, (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    up = np.cross(normal, side)
    corners = [centre + half_size * (s * side + u * up) for s, u in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return np.array(corners), np.array([[0, 1, 2], [0, 2, 3]])


def sphere(centre, radius, rings=60):
    """A latitude-longitude sphere, its faces turned outwards."""
    latitude, longitude = np.meshgrid(
        np.linspace(0, np.pi, rings + 1), np.arange(2 * rings) * np.pi / rings, indexing="ij"
    )
    unit = np.stack(
        [np.sin(latitude) * np.cos(longitude), np.sin(latitude) * np.sin(longitude), np.cos(latitude)],
        axis=-1,
    ).reshape(-1, 3)
    ring, step = np.meshgrid(np.arange(rings), np.arange(2 * rings), indexing="ij")
    a, b = ring * 2 * rings + step, ring * 2 * rings + (step + 1) % (2 * rings)
    c, d = a + 2 * rings, b + 2 * rings
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return centre + radius * unit, faces


def ray_sphere(camera, centre, radius):
    """(H, W) depth of the nearest hit, NaN for a miss."""
    r = rays(camera)
    a, b, c = (r * r).sum(-1), r @ centre, centre @ centre - radius**2
    discriminant = b * b - a * c
    return np.where(discriminant > 0, (b - np.sqrt(np.maximum(discriminant, 0))) / a, np.nan)


def cast(vertices, faces, camera, near_m):
    """Every ray against every triangle (Moeller and Trumbore): depth, face and margin (H, W).

    The margin is the least distance from the border of any triangle, in barycentric weight, or metres at the
    near plane: where it is small, rounding and the slack of edges decide.
    """
    r = rays(camera)
    depth = np.full(r.shape[:2], np.inf)
    face = np.full(r.shape[:2], -1)
    margin = np.full(r.shape[:2], np.inf)
    for f, (a, b, c) in enumerate(vertices[faces]):
        p = np.cross(r, c - a)
        determinant = p @ (b - a)
        u = p @ -a / determinant
        q = np.cross(-a, b - a)
        v = r @ q / determinant
        z = q @ (c - a) / determinant
        inside = np.min([u, v, 1 - u - v, z - near_m], axis=0)
        margin = np.minimum(margin, np.abs(inside))
        hit = (inside >= 0) & (z < depth)
        depth[hit], face[hit] = z[hit], f
    return np.where(face >= 0, depth, 0), face, margin


def test_hand_worked_triangle():
    # At z = 2 the pixels (1, 1), (5, 1), (1, 4): centres on the edges belong to it.
    vertices = 2.0 * np.array([[1, 1, 1], [5, 1, 1], [1, 4, 1]])
    raster = rasterise(vertices, [[0, 1, 2]], PIXELS)
    expected = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 1, 1, 0, 0],
            [0, 1, 1, 1, 0, 0, 0, 0],
            [0, 1, 1, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ]
    )
    np.testing.assert_array_equal(raster.depth_m, 2.0 * expected)
    np.testing.assert_array_equal(raster.face, expected - 1)
    assert raster.depth_m.dtype == np.float32
    assert raster.face.dtype == np.int32


def test_a_sliver_seen_edge_on_keeps_its_depth():
    # A millionth of a pixel wide, just beside the pixel centres of column 3, from z = 1 to z = 2.
    pixels = np.array([[3.00005, 0], [3.00005, 5], [3.000051, 2.5]])
    raster = rasterise(PIXELS.unproject(pixels, np.array([1.0, 1.0, 2.0])), [[0, 1, 2]], PIXELS)
    drawn = raster.depth_m[raster.face == 0]
    assert ((drawn >= 1) & (drawn <= 2)).all() and len(drawn) > 0


def test_both_windings_and_both_float_types_draw_the_same():
    vertices, faces = sphere(np.array([0.02, -0.01, 0.4]), 0.1, rings=12)
    vertices = vertices.astype(np.float32)
    raster = rasterise(vertices, faces, CAMERA)
    turned = rasterise(vertices.astype(np.float64), faces[:, ::-1], CAMERA)
    np.testing.assert_array_equal(raster.face, turned.face)
    np.testing.assert_allclose(raster.depth_m, turned.depth_m, rtol=2e-7)


@pytest.mark.parametrize("normal", [(0, 0, -1), (1, 0, -1), (0.3, -2, -1), (-5, 1, -1)])
def test_slanted_plane_is_perspective_correct(normal):
    centre = np.array([0.01, 0.02, 0.7])
    vertices, faces = plane_quad(centre, normal, 0.25)
    raster = rasterise(vertices, faces, CAMERA)
    hit = raster.face >= 0
    assert hit.sum() > 1000
    expected = centre @ np.array(normal) / (rays(CAMERA) @ np.array(normal))
    np.testing.assert_allclose(raster.depth_m[hit], expected[hit], atol=1e-5)
    cos = np.abs(rays(CAMERA) @ normal) / np.linalg.norm(rays(CAMERA), axis=-1) / np.linalg.norm(normal)
    flat = shade(raster, vertices, faces, CAMERA, np.ones(2), np.ones(2))
    np.testing.assert_allclose(flat.cos_incidence[hit], cos[hit], atol=1e-6)


def test_sphere_depth_and_normals():
    centre, radius = np.array([0.05, -0.03, 0.5]), 0.12
    vertices, faces = sphere(centre, radius)
    raster = rasterise(vertices, faces, CAMERA)
    analytic = ray_sphere(CAMERA, centre, radius)
    points = rays(CAMERA) * analytic[..., None]
    direction = rays(CAMERA) / np.linalg.norm(rays(CAMERA), axis=-1, keepdims=True)
    cos = np.abs(np.nansum((points - centre) / radius * direction, axis=-1))

    # The mesh lies within its facets' sagitta of the sphere, which grows along the ray as 1 / cos.
    sagitta = radius * (1 - np.cos(np.pi / 60))
    inner = ~np.isnan(analytic) & (cos > 0.2)
    assert (raster.face[inner] >= 0).all()
    assert (raster.face[np.isnan(analytic)] == -1).all()
    assert (np.abs(raster.depth_m - analytic)[inner] <= sagitta / cos[inner]).all()

    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(normals, (vertices - centre) / radius, atol=0.03)
    smooth = shade(raster, vertices, faces, CAMERA, np.ones(len(faces)), np.ones(len(faces)), normals)
    np.testing.assert_allclose(smooth.cos_incidence[inner], cos[inner], atol=0.02)
    flat = shade(raster, vertices, faces, CAMERA, np.ones(len(faces)), np.ones(len(faces)))
    error = {name: np.abs(s.cos_incidence - cos)[inner].mean() for name, s in (("s", smooth), ("f", flat))}
    assert error["s"] < 0.2 * error["f"]


def test_vertex_normals_weigh_by_area_and_leave_loose_vertices_zero():
    # At vertex 0 meet a face of area 0.5 along +z and one of area 1.5 along +x.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3], [9, 9, 9]], np.float32)
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    np.testing.assert_allclose(normals[0], np.array([3, 0, 1]) / np.sqrt(10), atol=1e-12)
    np.testing.assert_allclose(normals[1], [0, 0, 1], atol=1e-12)
    np.testing.assert_array_equal(normals[4], [0, 0, 0])


def test_shade_looks_up_albedo_and_label_of_the_nearest_face():
    back, faces = plane_quad(np.array([0, 0, 1.0]), (0, 0, -1), 3.0)
    front, _ = plane_quad(np.array([0, 0, 0.5]), (0, 0, -1), 0.05)
    vertices, faces = np.concatenate([back, front]), np.concatenate([faces, faces + 4])
    raster = rasterise(vertices, faces, CAMERA)
    shading = shade(raster, vertices, faces, CAMERA, np.array([0.1, 0.2, 0.3, 0.4]), np.array([5, 6, 7, 255]))
    assert set(np.unique(raster.face)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(shading.albedo, np.float32([0.1, 0.2, 0.3, 0.4])[raster.face])
    np.testing.assert_array_equal(shading.label, np.uint8([5, 6, 7, 255])[raster.face])


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), on_grid=st.booleans(), far=st.floats(0.3, 30))
def test_shared_edges_leave_no_holes(seed, on_grid, far):
    # A quad larger than the image, cut into random triangles by inserting points; with ``on_grid`` they fall
    # on pixel centres, so that edges and vertices pass through them exactly, and some triangles have no area.
    rng = np.random.default_rng(seed)
    points = np.array([[-9.0, -9.0], [45.0, -9.0], [45.0, 37.0], [-9.0, 37.0]])
    faces = [(0, 1, 2), (0, 2, 3)]
    for _ in range(40):
        a, b, c = faces.pop(rng.integers(len(faces)))
        new = rng.dirichlet(np.ones(3)) @ points[[a, b, c]]
        if on_grid:
            new = np.round(new)
        split = [(a, b, len(points)), (b, c, len(points)), (c, a, len(points))]
        points = np.concatenate([points, new[None]])
        inside = all(np.linalg.det(np.c_[points[list(s)], np.ones(3)]) > -1e-9 for s in split)
        faces += split if inside else [(a, b, c)]
    vertices = SMALL.unproject(points, far * rng.uniform(0.5, 1.5, len(points)))
    raster = rasterise(vertices.astype(np.float32), np.array(faces), SMALL)
    assert (raster.face >= 0).all()


@pytest.mark.parametrize("near_m", [0.1, 0.2])
def test_plane_through_the_near_plane_is_clipped(near_m):
    # A floor that starts behind the camera.
    normal, height = np.array([0.1, -1.0, 0.05]), 0.03
    vertices, faces = plane_quad(-height * normal / (normal @ normal), normal, 3.0)
    assert (vertices[:, 2] < 0).any() and (vertices[:, 2] > 1).any()
    raster = rasterise(vertices, faces, CAMERA, near_m=near_m)
    slope = rays(CAMERA) @ normal
    z = np.where(slope < 0, -height / np.where(slope < 0, slope, 1), 0)
    inside = (z > near_m * (1 + 1e-6)) & (z < 1.5)
    assert inside.sum() > 1000
    np.testing.assert_allclose(raster.depth_m[inside], z[inside], rtol=1e-5)
    assert (raster.depth_m[raster.face >= 0] >= near_m * (1 - 1e-6)).all()
    cut = z < near_m * (1 - 1e-6)
    assert (cut & (z > 0)).sum() > 1000
    assert (raster.face[cut] == -1).all()


def test_what_is_wholly_before_the_near_plane_is_not_drawn():
    vertices, faces = plane_quad(np.array([0, 0, 0.04]), (0.1, 0, -1), 0.05)
    assert (rasterise(vertices, faces, CAMERA).face == -1).all()
    assert (rasterise(vertices * (1, 1, -1), faces, CAMERA).face == -1).all()


@given(order=st.permutations(range(6)))
@settings(max_examples=30)
def test_the_nearest_wins_in_any_order(order):
    vertices = np.concatenate(
        [plane_quad(np.array([0.0, 0, 0.5]), n, 0.3)[0] for n in ((1, 0, -1), (-1, 0, -1), (0, 1, -2))]
    )
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    faces = np.concatenate([faces, faces + 4, faces + 8])
    straight, shuffled = rasterise(vertices, faces, SMALL), rasterise(vertices, faces[list(order)], SMALL)
    np.testing.assert_allclose(shuffled.depth_m, straight.depth_m, rtol=1e-6)


def test_the_first_of_equals_wins_and_the_bytes_repeat():
    vertices, faces = plane_quad(np.array([0, 0, 0.5]), (0.2, 0.1, -1), 0.1)
    raster = rasterise(vertices, np.concatenate([faces, faces]), CAMERA)
    assert raster.face.max() == 1
    again = rasterise(vertices, np.concatenate([faces, faces]), CAMERA)
    assert raster.depth_m.tobytes() == again.depth_m.tobytes()
    assert raster.face.tobytes() == again.face.tobytes()


def test_visibility_on_a_sphere():
    centre, radius = np.array([0.02, 0.01, 0.5]), 0.1
    vertices, faces = sphere(centre, radius)
    raster = rasterise(vertices, faces, CAMERA)
    # A point faces the camera where its normal is against the ray to it; leave the rim out,
    # where a pixel beside the sphere is next.
    facing = -((vertices - centre) * vertices).sum(-1) / radius / np.linalg.norm(vertices, axis=-1)
    clear = np.abs(facing) > 0.3
    seen = visible(vertices, raster, CAMERA, tolerance_m=0.002)
    np.testing.assert_array_equal(seen[clear], (facing > 0)[clear])
    assert visible(vertices, raster, CAMERA, tolerance_m=0.3).all()


def test_visibility_outside_the_image_and_over_nothing():
    vertices, faces = plane_quad(np.array([0, 0, 0.5]), (0, 0, -1), 0.05)
    raster = rasterise(vertices, faces, CAMERA)
    at_the_quad = np.array(
        [[0, 0, 0.49], [0, 0, 0.505], [0, 0, 0.52], [0, 0, -0.4], [0, 0, 0], [np.nan, 0, 1]]
    )
    expected = [True, True, False, False, False, False]
    np.testing.assert_array_equal(visible(at_the_quad, raster, CAMERA, tolerance_m=0.01), expected)
    at_the_border = np.array([[319.4, 100.0], [319.6, 100.0], [-0.4, -0.4], [-0.6, 0.0], [10.0, 239.6]])
    over_nothing = CAMERA.unproject(at_the_border, np.ones(5))
    expected = [True, False, True, False, False]
    np.testing.assert_array_equal(visible(over_nothing, raster, CAMERA, tolerance_m=0.01), expected)


@pytest.mark.parametrize(
    "vertices",
    [
        np.zeros((0, 3)),
        np.array([[0.1, 0, 0.5], [0.1, 0, 0.5], [0, 0.1, 0.5]]),  # no area
        np.array([[0, -0.01, 0.2], [0, -0.01, 0.4], [0, 0.09, 0.4]]),  # seen edge-on
        np.array([[np.nan, 0, 0.5], [0.1, 0, 0.5], [0, 0.1, 0.5]]),
        np.array([[np.inf, 0, 0.5], [0.1, 0, 0.5], [0, 0.1, np.inf]]),
    ],
    ids=["empty", "no area", "edge-on", "nan", "inf"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_to_draw(vertices):
    faces = np.arange(len(vertices)).reshape(-1, 3)
    raster = rasterise(vertices, faces, CAMERA)
    assert (raster.depth_m == 0).all()
    assert (raster.face == -1).all()
    shading = shade(raster, vertices, faces, CAMERA, np.ones(len(faces)), np.ones(len(faces)))
    assert not shading.cos_incidence.any() and not shading.albedo.any() and not shading.label.any()


def test_what_vertices_carry_is_spread_in_perspective():
    """Carried positions come out where the pixels' rays meet the surface; nothing elsewhere."""
    vertices, faces = plane_quad(np.array([0.05, 0.02, 0.6]), (0.5, 0.3, -1.0), 0.15)
    raster = rasterise(vertices, faces, CAMERA)
    carried = interpolate(raster, vertices, faces, CAMERA, np.c_[vertices, np.full(len(vertices), 7.0)])
    assert carried.shape == (CAMERA.height, CAMERA.width, 4) and carried.dtype == np.float32
    drawn = raster.face >= 0
    assert drawn.sum() > 5000 and not carried[~drawn].any()
    expected = rays(CAMERA) * raster.depth_m[..., None]
    np.testing.assert_allclose(carried[drawn][:, :3], expected[drawn], atol=2e-5)
    np.testing.assert_allclose(carried[drawn][:, 3], 7.0, rtol=1e-6)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_agrees_with_a_ray_caster(seed):
    # Triangles of all sizes, some across the near plane, some behind the camera.
    rng = np.random.default_rng(seed)
    centres = rng.uniform((-0.3, -0.3, -0.1), (0.3, 0.3, 0.9), (30, 1, 3))
    triangles = centres + rng.uniform(0.02, 0.5, (30, 1, 1)) * rng.standard_normal((30, 3, 3))
    vertices, faces = triangles.reshape(-1, 3), np.arange(90).reshape(-1, 3)
    raster = rasterise(vertices, faces, SMALL)
    depth, face, margin = cast(vertices, faces, SMALL, near_m=0.05)
    clear = margin > 3e-4
    assert clear.mean() > 0.8
    np.testing.assert_allclose(raster.depth_m[clear], depth[clear], rtol=1e-5)
    # Where two faces meet at a depth either may win.
    assert (raster.face == face)[clear].mean() > 0.99
