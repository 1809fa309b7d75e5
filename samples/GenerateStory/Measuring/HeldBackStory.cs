using GenerateStory.Drawing;
using GenerateStory.Reading;
using GenerateStory.Stories;

namespace GenerateStory.Measuring;

/// <summary>A story about a character that no training picture shows, of which some attributes are said and others left open.</summary>
/// <param name="Character">The character; attributes that are left open are not binding.</param>
/// <param name="Said">What is said.</param>
/// <param name="Situations">What happens in each picture.</param>
internal sealed record HeldBackStory(Character Character, Said Said, IReadOnlyList<Situation> Situations)
{
    private const int PictureCount = 5;

    /// <summary>The story in words.</summary>
    public StoryText Text => new(Caption.Who(Character, Said), [.. Situations.Select(Caption.What)]);

    /// <summary>The story of a seed. All scenes differ.</summary>
    public static HeldBackStory Draw(int seed)
    {
        var random = new Random(seed);
        var scenes = Enum.GetValues<Scene>();
        random.Shuffle(scenes);
        return new(
            Character.Next(random, isHeldBack: true), Caption.Draw(random),
            [.. scenes.Take(PictureCount).Select(scene => Situation.Next(random) with { Scene = scene })]);
    }

    /// <summary>Whether the prompt says an attribute of the character.</summary>
    public bool Says(int attribute) => attribute switch
    {
        0 => true,
        1 => Said.HasFlag(Said.Fur),
        2 => Said.HasFlag(Said.Garment),
        3 => Said.HasFlag(Said.Garment | Said.GarmentDye),
        4 => Character.Hat != Hat.None && Said.HasFlag(Said.Hat | Said.HatKind),
        5 => Character.Hat != Hat.None && Said.HasFlag(Said.Hat | Said.HatDye),
        6 => Character.Glasses != Glasses.None && Said.HasFlag(Said.Glasses),
        _ => throw new ArgumentOutOfRangeException(nameof(attribute)),
    };

    /// <summary>Whether a picture shows what the prompt says of an attribute.</summary>
    public bool IsRight(int picture, int attribute, int read) =>
        read == PictureAttribute.All[attribute].Of(new(Character, Situations[picture], Company.One, Seed: 0));
}
