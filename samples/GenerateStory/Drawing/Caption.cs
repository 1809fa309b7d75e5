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
        var who = Who(picture.Character, Draw(random));
        if (picture.Company == Company.Twins)
            who = "twins, " + who;
        return Join(who, Join(Join(action, prop, " "), place, " "), ", ");
    }

    /// <summary>Chooses what is said of a character.</summary>
    public static Said Draw(Random random)
    {
        var said = Said.Nothing;
        Add(Said.Fur, 0.55);
        Add(Said.Garment, 0.65);
        Add(Said.GarmentDye, 0.75);
        Add(Said.Hat, 0.65);
        Add(Said.HatKind, 0.75);
        Add(Said.HatDye, 0.75);
        Add(Said.Glasses, 0.65);
        return said;

        void Add(Said what, double probability) => said |= random.NextDouble() < probability ? what : Said.Nothing;
    }

    /// <summary>A character in words, with some of its attributes.</summary>
    public static string Who(Character character, Said said)
    {
        var species = Word(character.Species);
        var text = new StringBuilder(WithArticle(said.HasFlag(Said.Fur) ? $"{Word(character.Fur)} {species}" : species));
        if (said.HasFlag(Said.Garment))
        {
            var garment = said.HasFlag(Said.GarmentDye) ? $"{Word(character.GarmentDye)} {Word(character.Garment)}" : Word(character.Garment);
            text.Append(" in ").Append(character.Garment == Garment.Dungarees ? garment : WithArticle(garment));
        }
        var worn = new List<string>();
        if (said.HasFlag(Said.Hat) && character.Hat != Hat.None)
        {
            var hat = said.HasFlag(Said.HatKind) ? Word(character.Hat) : "hat";
            worn.Add(WithArticle(said.HasFlag(Said.HatDye) ? $"{Word(character.HatDye)} {hat}" : hat));
        }
        if (said.HasFlag(Said.Glasses) && character.Glasses != Glasses.None)
            worn.Add(Word(character.Glasses));
        return worn.Count == 0 ? text.ToString() : text.Append(" with ").AppendJoin(" and ", worn).ToString();
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
