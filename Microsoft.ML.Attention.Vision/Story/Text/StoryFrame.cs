namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture of a story: what its line says.</summary>
/// <param name="Line">The line without marks and caption; characters are still called by their tags.</param>
/// <param name="Prompt">What the picture shows, characters described.</param>
/// <param name="Caption">What is written below the picture.</param>
/// <param name="Characters">Who is in it.</param>
internal sealed record StoryFrame(string Line, string Prompt, string Caption, IReadOnlyList<StoryCharacter> Characters)
{
    private const string NoCharacter = "[NC]";

    /// <summary>
    /// Reads a line: <c>text #caption</c>. <c>[NC]</c> in it keeps an only character away; those with tags are in it where they are named.
    /// </summary>
    public static StoryFrame Parse(string text, IReadOnlyList<StoryCharacter> characters)
    {
        var unmarked = text.Replace(NoCharacter, "", StringComparison.Ordinal);
        var (line, caption) = (BeforeComment(unmarked), unmarked[(unmarked.LastIndexOf('#') + 1)..]);
        if (characters is [{ Tag: "" } only])
            return unmarked.Length < text.Length ? new(line, line, caption, []) : new(line, $"{only.Description},{line}", caption, [only]);
        StoryCharacter[] present = [.. characters.Where(character => line.Contains(character.Tag, StringComparison.Ordinal))];
        var prompt = present.Aggregate(line, (said, character) => said.Replace(character.Tag, character.Description + " ", StringComparison.Ordinal));
        return new(line, prompt, caption, present);
    }

    /// <summary>What a line says before its last '#'.</summary>
    public static string BeforeComment(string line) => line.LastIndexOf('#') is var mark and >= 0 ? line[..mark] : line;
}
