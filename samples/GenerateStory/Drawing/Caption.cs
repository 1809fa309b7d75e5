using System.Text;

namespace GenerateStory.Drawing;

/// <summary>Says what is in a picture, or a part of it.</summary>
internal static class Caption
{
    /// <summary>A caption that leaves attributes out at random, so that a model learns to choose what a prompt leaves open.</summary>
    public static string Of(DrawnPicture picture, Random random)
    {
        var place = random.NextDouble() < 0.9 ? Place(picture.Situation.Scene) : "";
        if (picture.Company == Company.None)
            return Join("nobody", place, " ");
        var action = random.NextDouble() < 0.85 ? Word(picture.Situation.Pose) : "";
        var prop = random.NextDouble() < 0.85 ? Held(picture.Situation.Prop) : "";
        var who = Who(picture.Character, random);
        if (picture.Company == Company.Twins)
            who = "twins, " + who;
        return Join(who, Join(Join(action, prop, " "), place, " "), ", ");
    }

    /// <summary>A character with some of its attributes.</summary>
    public static string Who(Character character, Random random)
    {
        var text = new StringBuilder();
        text.Append(WithArticle(random.NextDouble() < 0.55 ? $"{Word(character.Fur)} {Word(character.Species)}" : Word(character.Species)));
        if (random.NextDouble() < 0.65)
            text.Append(" in ").Append(Worn(character.GarmentDye, Word(character.Garment), random));
        var wears = new List<string>();
        if (character.Hat != Hat.None && random.NextDouble() < 0.65)
            wears.Add(Worn(character.HatDye, random.NextDouble() < 0.25 ? "hat" : Word(character.Hat), random));
        if (character.Glasses != Glasses.None && random.NextDouble() < 0.65)
            wears.Add(Word(character.Glasses));
        return wears.Count == 0 ? text.ToString() : text.Append(" with ").AppendJoin(" and ", wears).ToString();
    }

    /// <summary>A character with all of its attributes.</summary>
    public static string Who(Character character)
    {
        var text = $"{WithArticle(Word(character.Fur))} {Word(character.Species)} in "
            + (character.Garment == Garment.Dungarees ? "" : "a ") + $"{Word(character.GarmentDye)} {Word(character.Garment)}";
        string[] wears =
        [
            .. character.Hat == Hat.None ? Array.Empty<string>() : [$"a {Word(character.HatDye)} {Word(character.Hat)}"],
            .. character.Glasses == Glasses.None ? Array.Empty<string>() : [Word(character.Glasses)],
        ];
        return wears.Length == 0 ? text : text + " with " + string.Join(" and ", wears);
    }

    /// <summary>What a character does, and where.</summary>
    public static string What(Situation situation) =>
        Join(Join(Word(situation.Pose), Held(situation.Prop), " "), Place(situation.Scene), " ");

    /// <summary>An attribute's value in words, such as "top hat".</summary>
    public static string Word<T>(T value)
        where T : struct, Enum
    {
        var name = value.ToString();
        var text = new StringBuilder();
        foreach (var letter in name)
            text.Append(char.IsUpper(letter) && text.Length > 0 ? " " : "").Append(char.ToLowerInvariant(letter));
        return text.ToString();
    }

    private static string Worn(Dye dye, string what, Random random) =>
        (what == "dungarees" ? "" : "a ") + (random.NextDouble() < 0.75 ? Word(dye) + " " : "") + what;

    private static string Held(Prop prop) => prop switch
    {
        Prop.None => "",
        _ => "with " + WithArticle(Word(prop)),
    };

    private static string Place(Scene scene) => scene switch
    {
        Scene.Beach => "on the beach",
        Scene.Night => "at night",
        _ => "in the " + Word(scene),
    };

    private static string WithArticle(string words) => (words[0] is 'i' or 'o' ? "an " : "a ") + words;

    private static string Join(string left, string right, string between) =>
        left.Length == 0 ? right : right.Length == 0 ? left : left + between + right;
}
