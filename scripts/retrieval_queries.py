"""What the retrieval benchmark shows, and the words that people type for it."""

from pipelines.footage import PICTURES, WEB_PICTURES, Footage

MORE_PICTURES = (
    Footage("horse", "skimage", "data/horse.png", ("horse",), known=False),
    Footage("chessboard", "skimage", "data/chessboard_RGB.png", ("chessboard",), known=False),
    Footage("tissue", "skimage", "data/ihc.png", ("tissue",), known=False),
)
ALL_PICTURES = PICTURES + MORE_PICTURES + WEB_PICTURES

# For each picture: the word for it, an everyday word, and descriptions, as people type them.
QUERIES = {
    "cat": ("tabby cat", "cat", "a kitten looking at me", "pet with whiskers"),
    "coffee": ("espresso", "coffee", "a cup of hot coffee with a spoon", "a drink on the table"),
    "motorcycle": ("motorcycle", "motorbike", "a red motorbike in a garage", "two-wheeled vehicle"),
    "cameraman": (
        "tripod", "man with a camera", "a photographer taking a picture",
        "black and white photo of a man in a coat",
    ),
    "temple": ("palace", "chinese temple", "a pagoda by the water", "old asian building"),
    "officer": ("military uniform", "navy officer", "a woman in uniform with a cap", "soldier"),
    "rocket": ("rocket", "rocket launch", "a spacecraft about to lift off", "missile"),
    "page": ("page of text", "printed text", "a page from a book", "document"),
    "flower": ("flower", "dahlia", "a red flower in bloom", "garden plant with petals"),
    "astronaut": (
        "astronaut", "space suit", "a woman in an orange space suit", "portrait of an astronaut",
    ),
    "coins": ("coins", "money", "old roman coins", "a collection of coins"),
    "moon": ("moon", "lunar surface", "craters on the moon", "surface of a planet"),
    "galaxies": ("galaxies", "night sky with stars", "deep space telescope picture", "universe"),
    "bricks": ("brick wall", "bricks", "a wall of a house", "masonry"),
    "retina": ("retina", "eye scan", "blood vessels of an eye", "medical picture of an eye"),
    "gravel": ("gravel", "pebbles", "small stones on the ground", "rocks"),
    "horse": ("horse", "silhouette of a horse", "a black horse on white", "animal you can ride"),
    "chessboard": ("chessboard", "checkerboard", "black and white squares", "board for chess"),
    "tissue": ("tissue under a microscope", "microscope slide", "stained cells", "histology"),
    "cheetah": ("cheetah", "leopard", "a big cat with spots", "fast wild animal"),
    "lion": ("lion", "king of the jungle", "a big cat with a mane", "wild animal"),
    "tower": ("Eiffel tower", "Paris", "a tall iron tower", "famous landmark"),
}  # fmt: skip
# Scenes of footage that is not packaged, by file name, asked for where --footage has it.
FOOTAGE_QUERIES = {
    "flash_vstream_example": ("child on a swing", "playground", "swing", "park with children"),
    "flipping_a_pancake": ("pancake", "frying pan", "a woman cooking in a kitchen", "stove"),
    "mmaction2_demo": ("arm wrestling", "canteen", "two people at a table", "restaurant"),
    "mmaction2_structuralize": ("basketball", "gym", "ball game indoors", "sports hall"),
    "mmaction2_test": ("swimming pool", "pool cleaner", "blue water", "a man vacuums a pool"),
    "nasa_13013": ("crane", "workers in a hall", "industrial platform", "space centre"),
}
ABSENT = (
    "dog", "elephant", "zebra", "airliner", "guitar", "pizza", "penguin", "umbrella", "violin",
    "snake", "grand piano", "banana", "tractor", "school bus", "sailing boat", "shark",
    "strawberry", "owl", "spider", "washing machine", "goldfish", "submarine", "mushroom",
    "bicycle pump", "polar bear", "hammer", "castle", "volcano", "trumpet", "wedding dress",
)  # fmt: skip
