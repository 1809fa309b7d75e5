namespace Microsoft.ML.Attention.Vision;

/// <summary>How the pictures of a story are drawn: words around each prompt and words against.</summary>
/// <param name="Name">What the style is called.</param>
/// <param name="Template">A prompt with <c>{prompt}</c> where that of the picture comes.</param>
/// <param name="NegativePrompt">What pictures must not look like.</param>
public sealed record StoryStyle(string Name, string Template, string NegativePrompt)
{
    private const string Slot = "{prompt}", DefaultName = "Japanese Anime";

    // The names are StoryDiffusion's, for which see its utils/style_template.py; the words are ours.
    private static readonly StoryStyle[] Own =
    [
        new("(No style)", Slot, ""),
        new(DefaultName,
            "anime film still of {prompt} . cel shading, clean ink outlines, expressive faces, hand-painted background, rich colours",
            "photo, blurry, low quality, malformed hands, extra limbs, cropped, text, signature, compression artefacts"),
        new("Digital/Oil Painting",
            "{prompt} . oil painting on canvas, visible brush strokes, warm light, deep shadows, rich detail",
            "photo, flat colours, blurry, low quality, malformed hands, extra limbs, cropped, text, signature"),
        new("Pixar/Disney Character",
            "{prompt} . character of an animated family film, rendered in 3D, soft light, large eyes, friendly colours",
            "photo, line drawing, grainy, grey, low quality, malformed eyes, extra limbs, cropped, text, signature"),
        new("Photographic",
            "photo of {prompt} . film camera, 50 mm lens, shallow depth of field, natural light, sharp focus, fine detail",
            "drawing, painting, render, blurry, low quality, malformed hands, extra limbs, cropped, text, signature"),
        new("Comic book",
            "comic panel of {prompt} . bold ink, halftone shading, strong colours, dynamic composition",
            "photo, realistic, blurry, low quality, malformed hands, extra limbs, cropped, signature"),
        new("Line art",
            "line drawing of {prompt} . a few confident black lines on white, no shading, minimal",
            "photo, colour, shading, blurry, low quality, malformed hands, extra limbs, cropped, text, signature"),
        new("Black and White Film Noir",
            "{prompt} . still of a black and white film noir, hard side light, long shadows, smoke, film grain",
            "colour, drawing, render, blurry, low quality, malformed hands, extra limbs, cropped, text, signature"),
        new("Isometric Rooms",
            "isometric miniature of {prompt} . in a cutaway room, soft light, pastel colours, rendered in 3D",
            "photo, drawing, perspective, blurry, low quality, cropped, text, signature"),
    ];

    /// <summary>
    /// The styles by name: (No style), Japanese Anime, Digital/Oil Painting, Pixar/Disney Character, Photographic, Comic book, Line art,
    /// Black and White Film Noir, Isometric Rooms.
    /// </summary>
    public static IReadOnlyDictionary<string, StoryStyle> All { get; } = Own.ToDictionary(style => style.Name);

    /// <summary>No words around a prompt and none against.</summary>
    public static StoryStyle None => All["(No style)"];

    /// <summary>The style of a name; Japanese Anime, as in StoryDiffusion's application, for a name that is not known.</summary>
    /// <param name="name">The name.</param>
    /// <param name="styles">The styles to choose from, Japanese Anime among them.</param>
    internal static StoryStyle Find(string name, IReadOnlyDictionary<string, StoryStyle> styles) =>
        styles.GetValueOrDefault(name, styles[DefaultName]);

    /// <summary>The prompt in its template.</summary>
    internal string Positive(string prompt) => Template.Replace(Slot, prompt, StringComparison.Ordinal);

    /// <summary>The style's words against and the user's.</summary>
    internal string Negative(string negativePrompt) => $"{NegativePrompt} {negativePrompt}";
}
