namespace Microsoft.ML.Attention.Vision;

/// <summary>How the pictures of a story are kept alike.</summary>
public enum StoryConsistency
{
    /// <summary>
    /// Pictures see a sample of the tokens of the characters' pictures, drawn for each of these: StoryDiffusion's application for little
    /// memory, and for two characters.
    /// </summary>
    Gathered = 0,

    /// <summary>
    /// Pictures see all tokens of the character's pictures in the first five steps and a sample afterwards: StoryDiffusion's first application.
    /// </summary>
    Dense = 1,

    /// <summary>Each picture sees itself only, as with the model as it was.</summary>
    None = 2,
}
