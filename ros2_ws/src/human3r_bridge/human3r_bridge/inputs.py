"""The topics the bridge reads, relative to its namespace; those of a node called human3r."""

HUMANS = "human3r/humans"
SKELETON = "human3r/skeleton"
MESHES = "human3r/meshes"
MESH_TOPOLOGY = "human3r/mesh_topology"
IMAGE = "image"
