namespace GenerateStory.Drawing;

/// <summary>How many are in a picture.</summary>
internal enum Company
{
    One,

    /// <summary>
    /// Two that look the same: a net that learns to draw them learns to attend to one while it draws the other, which is what consistent
    /// self-attention does over pictures.
    /// </summary>
    Twins,

    /// <summary>Nobody.</summary>
    None,
}

/// <summary>All that decides a picture.</summary>
internal sealed record DrawnPicture(Character Character, Situation Situation, Company Company, int Seed)
{
    /// <summary>The picture of a seed.</summary>
    /// <param name="seed">Decides all of it.</param>
    /// <param name="isHeldBack">Whether the character is one of those that no training picture shows.</param>
    public static DrawnPicture Next(int seed, bool isHeldBack)
    {
        var random = new Random(seed);
        var company = random.NextDouble() switch { < 0.04 => Company.None, < 0.18 => Company.Twins, _ => Company.One };
        return new(Character.Next(random, isHeldBack), Situation.Next(random), company, random.Next());
    }
}
