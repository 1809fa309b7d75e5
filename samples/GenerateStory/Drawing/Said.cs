namespace GenerateStory.Drawing;

/// <summary>What a caption says of a character besides its species, where there is something to say.</summary>
[Flags]
internal enum Said
{
    Nothing = 0,
    Fur = 1,
    Garment = 2,

    /// <summary>The garment's colour, if the garment itself is named.</summary>
    GarmentDye = 4,
    Hat = 8,

    /// <summary>Which hat, rather than just a hat.</summary>
    HatKind = 16,

    /// <summary>The hat's colour, if the hat itself is named.</summary>
    HatDye = 32,
    Glasses = 64,
    Everything = 127,
}
