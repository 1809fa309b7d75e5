namespace Microsoft.ML.Attention.Vision;

/// <summary>Who a story is about.</summary>
/// <param name="Tag">What lines call the character by, such as <c>[Bob]</c>; empty for the only one, who is in every line.</param>
/// <param name="Description">What the character looks like, as a prompt says it.</param>
internal sealed record StoryCharacter(string Tag, string Description)
{
    /// <summary>
    /// Reads either lines <c>[Name] description</c>, without what comes after the last '#', or the description of an only character; none
    /// of an empty text.
    /// </summary>
    /// <exception cref="InvalidDataException">A line has no name, or a name comes twice.</exception>
    public static IReadOnlyList<StoryCharacter> Parse(string text)
    {
        if (string.IsNullOrWhiteSpace(text))
            return [];
        if (!text.StartsWith('['))
            return [new("", text)];
        StoryCharacter[] characters = [.. text.ReplaceLineEndings("\n").Split('\n').Where(line => line.Trim().Length > 0).Select(ParseLine)];
        return characters.CountBy(character => character.Tag).FirstOrDefault(count => count.Value > 1) is { Key: { } twice }
            ? throw new InvalidDataException($"Character {twice} is described twice: name each once.")
            : characters;
    }

    private static StoryCharacter ParseLine(string line)
    {
        var end = line.IndexOf(']');
        if (!line.StartsWith('[') || end < 0)
            throw new InvalidDataException($"'{line}' does not describe a character: begin the line with a name in brackets, as in '[Bob] a man'.");
        return new(line[..(end + 1)], StoryFrame.BeforeComment(line)[(end + 1)..]);
    }
}
