using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The characters of a story that there are reference photos of.</summary>
internal sealed class PhotographedCharacters
{
    private readonly IdentityEncoder? _encoder;
    private readonly Dictionary<StoryCharacter, (float[] Values, int Count)> _photos = [];

    /// <param name="model">The model.</param>
    /// <param name="characters">All characters of the story.</param>
    /// <param name="photos">Photos by the characters' tags.</param>
    /// <exception cref="InvalidDataException">
    /// The model has no encoder for photos, or a character is not in the story, has no mark in its description, or no photos.
    /// </exception>
    public PhotographedCharacters(
        DiffusionModel model, IReadOnlyList<StoryCharacter> characters, IReadOnlyDictionary<string, IReadOnlyList<MLImage>> photos)
    {
        if (photos.Count > 0 && model.IdentityEncoder is null)
        {
            throw new InvalidDataException("There are reference photos, but the model's folder has no id_encoder/model.onnx to read them: "
                + "export PhotoMaker's, with its UNet.");
        }
        _encoder = model.IdentityEncoder;
        foreach (var (tag, images) in photos)
        {
            var character = characters.FirstOrDefault(character => character.Tag == tag) ?? throw new InvalidDataException(
                $"There are reference photos of '{tag}', but the story's characters are {string.Join(", ", characters.Select(one => $"'{one.Tag}'"))}.");
            if (images.Count == 0)
                throw new InvalidDataException($"There are 0 reference photos of '{tag}'; give one or more, or leave the character out.");
            if (MarkedPrompt.IndexIn(character.Description) < 0)
            {
                throw new InvalidDataException($"There are reference photos of '{tag}', but '{character.Description}' does not say to which word "
                    + $"they belong: write '{MarkedPrompt.Mark}' after it, as in 'a man {MarkedPrompt.Mark}'.");
            }
            _photos[character] = (_encoder!.Read(images), images.Count);
        }
    }

    /// <summary>The prompt of a picture, with the marks of its characters who have photos.</summary>
    public MarkedPrompt Mark(string prompt, StoryFrame frame) => MarkedPrompt.Cut(
        prompt, [.. MarksIn(prompt, frame).Select(mark => (mark.Index, _photos[mark.Character].Count))]);

    /// <summary>The prompt's states when the photos take part; null where the picture has none.</summary>
    public PromptEmbedding? Encode(PromptEncoder encoder, string prompt, StoryFrame frame, CancellationToken cancellation)
    {
        var marks = MarksIn(prompt, frame);
        if (marks.Length == 0)
            return null;
        var (embedding, places) = encoder.Encode(Mark(prompt, frame), cancellation);
        foreach (var (mark, place) in marks.Zip(places))
            embedding = _encoder!.Fuse(embedding, place, _photos[mark.Character].Values, cancellation);
        return embedding;
    }

    // Wherever a photographed character is described.
    private (int Index, StoryCharacter Character)[] MarksIn(string prompt, StoryFrame frame)
    {
        var marks = new List<(int Index, StoryCharacter Character)>();
        foreach (var character in frame.Characters.Where(_photos.ContainsKey))
        {
            var mark = MarkedPrompt.IndexIn(character.Description);
            for (var at = 0; (at = prompt.IndexOf(character.Description, at, StringComparison.Ordinal)) >= 0; at++)
                marks.Add((at + mark, character));
        }
        return [.. marks.OrderBy(mark => mark.Index)];
    }
}
