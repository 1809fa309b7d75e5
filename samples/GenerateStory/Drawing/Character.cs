namespace GenerateStory.Drawing;

/// <summary>The kind of animal.</summary>
internal enum Species { Cat, Dog, Bear, Rabbit, Mouse, Fox }

/// <summary>The colour of the coat of fur.</summary>
internal enum Fur { White, Grey, Brown, Orange, Black, Pink }

/// <summary>The colour of what is worn.</summary>
internal enum Dye { Red, Blue, Green, Yellow, Purple }

/// <summary>What is worn on the body.</summary>
internal enum Garment { Sweater, Dress, Coat, Dungarees }

/// <summary>What is worn on the head.</summary>
internal enum Hat { None, Cap, TopHat, WoollyHat, PartyHat }

/// <summary>What is worn on the nose.</summary>
internal enum Glasses { None, Glasses, Sunglasses }

/// <summary>What a character looks like: all that should stay the same over a story.</summary>
internal sealed record Character
{
    public required Species Species { get; init; }

    public required Fur Fur { get; init; }

    public required Garment Garment { get; init; }

    public required Dye GarmentDye { get; init; }

    public required Hat Hat { get; init; }

    /// <summary>The colour of the hat and of the boots that go with it; without a hat boots are brown.</summary>
    public required Dye HatDye { get; init; }

    public required Glasses Glasses { get; init; }

    /// <summary>
    /// Whether no training picture shows a character of this kind: one in nine of the combinations of species, fur, clothes and hat.
    /// </summary>
    public bool IsHeldBack =>
        ((int)Species + (2 * (int)Fur) + (4 * (int)Garment) + (5 * (int)GarmentDye) + (7 * (int)Hat)
            + (Hat == Hat.None ? 0 : (int)HatDye)) % 9 == 0;

    /// <summary>Draws a character that is held back, or one that is not.</summary>
    public static Character Next(Random random, bool isHeldBack)
    {
        while (true)
        {
            var character = new Character
            {
                Species = Any<Species>(random),
                Fur = Any<Fur>(random),
                Garment = Any<Garment>(random),
                GarmentDye = Any<Dye>(random),
                Hat = Any<Hat>(random),
                HatDye = Any<Dye>(random),
                Glasses = random.Next(2) == 0 ? Glasses.None : Any<Glasses>(random),
            };
            if (character.IsHeldBack == isHeldBack)
                return character;
        }
    }

    internal static T Any<T>(Random random)
        where T : struct, Enum =>
        Enum.GetValues<T>()[random.Next(Enum.GetValues<T>().Length)];
}
