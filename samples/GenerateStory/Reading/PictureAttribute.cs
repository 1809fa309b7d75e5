using GenerateStory.Drawing;

namespace GenerateStory.Reading;

/// <summary>Something that can be read from a picture.</summary>
/// <param name="Name">Its name for people.</param>
/// <param name="Values">The names of its values.</param>
/// <param name="Of">The index of the value in a drawn picture.</param>
internal sealed record PictureAttribute(string Name, IReadOnlyList<string> Values, Func<DrawnPicture, int> Of)
{
    /// <summary>Those of the character, which should stay the same over a story, then those of the situation.</summary>
    public static IReadOnlyList<PictureAttribute> All { get; } =
    [
        From("species", picture => picture.Character.Species),
        From("fur", picture => picture.Character.Fur),
        From("garment", picture => picture.Character.Garment),
        From("garment's colour", picture => picture.Character.GarmentDye),
        From("hat", picture => picture.Character.Hat),
        new("hat's colour", ["none", .. Enum.GetValues<Dye>().Select(Caption.Word)],
            picture => picture.Character.Hat == Hat.None ? 0 : 1 + (int)picture.Character.HatDye),
        From("glasses", picture => picture.Character.Glasses),
        From("pose", picture => picture.Situation.Pose),
        From("prop", picture => picture.Situation.Prop),
        From("scene", picture => picture.Situation.Scene),
    ];

    /// <summary>How many of <see cref="All"/> are the character's.</summary>
    public const int OfCharacter = 7;

    private static PictureAttribute From<T>(string name, Func<DrawnPicture, T> value)
        where T : struct, Enum =>
        new(name, [.. Enum.GetValues<T>().Select(Caption.Word)], picture => Convert.ToInt32(value(picture)));
}
