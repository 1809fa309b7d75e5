namespace GenerateStory.Stories;

/// <summary>A story in words: what its character looks like, and a line a picture.</summary>
/// <param name="Character">As much of its looks as the model is not to choose.</param>
/// <param name="Lines">What the character does and where, and after a '#' the caption.</param>
internal sealed record StoryText(string Character, IReadOnlyList<string> Lines)
{
    /// <summary>The story of the README.</summary>
    public static StoryText Example { get; } = new("a fox in a coat with a hat",
    [
        "standing in the street #A holiday at last.",
        "waving on the beach #Hello, sea!",
        "walking with an ice cream on the beach #The best part of it.",
        "walking in the forest #The way home is long.",
        "jumping in the snow #Longer than it was.",
        "sitting at night #Home. Good night.",
    ]);

    /// <summary>Reads a file whose first line is the character and each other one a picture.</summary>
    /// <exception cref="InvalidDataException">There are fewer than two lines.</exception>
    public static StoryText Read(string path) =>
        File.ReadAllLines(path).Where(line => line.Trim().Length > 0).ToArray() is [var character, _, ..] all
            ? new(character, all[1..])
            : throw new InvalidDataException($"'{path}' is no story: its first line is the character, each further one a picture.");
}
