namespace Microsoft.ML.Attention.Vision;

/// <summary>The lines of a story and who is in them.</summary>
internal sealed class StoryScript
{
    /// <param name="characters">The characters as <see cref="StoryCharacter.Parse"/> reads them.</param>
    /// <param name="lines">A line a picture, as <see cref="StoryFrame.Parse"/> reads them.</param>
    /// <param name="identityCount">In how many pictures each character is made up.</param>
    /// <param name="isConsistent">Whether pictures have to agree; where not, characters may be alone in fewer lines.</param>
    /// <exception cref="InvalidDataException">Characters are described badly, or one is alone in too few lines.</exception>
    public StoryScript(string characters, IEnumerable<string> lines, int identityCount, bool isConsistent = true)
    {
        Characters = StoryCharacter.Parse(characters);
        Frames = [.. lines.Select(line => StoryFrame.Parse(line, Characters))];
        IdentityFrames = Characters.Where(character => Frames.Any(frame => frame.Characters.Contains(character)))
            .ToDictionary(character => character, character => FramesAlone(character, identityCount, isConsistent));
    }

    public IReadOnlyList<StoryCharacter> Characters { get; }

    public IReadOnlyList<StoryFrame> Frames { get; }

    /// <summary>For each character that appears at all, the frames, from 0, that the others have to agree with.</summary>
    public IReadOnlyDictionary<StoryCharacter, int[]> IdentityFrames { get; }

    private int[] FramesAlone(StoryCharacter character, int count, bool isRequired)
    {
        int[] alone = [.. Frames.Index().Where(frame => frame.Item.Characters is [var one] && one == character).Select(frame => frame.Index)];
        return alone.Length >= count || !isRequired ? alone[..Math.Min(count, alone.Length)] : throw new InvalidDataException(
            $"{(character.Tag.Length > 0 ? $"Character {character.Tag}" : "The character")} is alone in {alone.Length} of {Frames.Count} lines, "
            + $"but {count} are wanted to make up its looks: add lines, or lower {nameof(StoryOptions.IdentityCount)}.");
    }
}
